#!/bin/sh
# Made by hapair 0.1.0. Usage: load.sh check|load SECTION FILE
# Loads an object into the CIB of Heartbeat 2, or tells whether it is there as the file has it (exit code 0).
# `cibadmin -C` refuses what exists (21), `-M` what does not (22): so the one, then the other. Both need `-o`.

section=$2 file=$3
# A file may be empty: a VM that prefers no node has no location.
grep -q '<' "$file" || exit 0

# Each tag of the file with an id must be in the live section, with the same attributes.
check() {
    live=$(cibadmin -Q -o "$section" 2>/dev/null) || return 1
    printf '%s\n' "$live" | awk '
        function attributes(text,    n) {
            n = 0
            while (match(text, /[A-Za-z_][A-Za-z_-]*="[^"]*"/)) {
                list[++n] = substr(text, RSTART, RLENGTH)
                text = substr(text, RSTART + RLENGTH)
            }
            return n
        }
        BEGIN { RS = ">" }
        {
            start = index($0, "<")
            text = substr($0, start + 1)
            gsub(/[ \t\r\n]+/, " ", text)
            key = ""
            n = attributes(text)
            for (i = 1; i <= n; i++) if (list[i] ~ /^id="/) key = list[i]
            if (key == "") next
            if (NR == FNR) wanted[key] = text
            else live[key] = text
        }
        END {
            for (key in wanted) {
                if (!(key in live)) exit 1
                n = attributes(wanted[key])
                for (i = 1; i <= n; i++) if (index(live[key], " " list[i]) == 0) exit 1
            }
        }
    ' "$file" -
}

case $1 in
    check) check ;;
    load)
        if check; then exit 0; fi
        cibadmin -C -o "$section" -x "$file"
        code=$?
        # 21: the object already exists.
        [ "$code" -eq 21 ] || exit "$code"
        cibadmin -M -o "$section" -x "$file"
        ;;
    *) echo "usage: $0 check|load SECTION FILE" >&2; exit 2 ;;
esac
