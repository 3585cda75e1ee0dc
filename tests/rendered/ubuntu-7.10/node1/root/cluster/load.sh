#!/bin/sh
# Made by hapair 0.1.0. Usage: load.sh check|load SECTION FILE
# Loads an object into the CIB of Heartbeat 2, or tells whether it is there with the same values (exit code 0).
# `cibadmin -C` refuses what exists (21) and `-M` what does not (22): so the one, then the other. Both need `-o`.

section=$2 file=$3
# A file may be empty: a VM that prefers no node has no location.
grep -q '<' "$file" || exit 0

check() {
    live=$(cibadmin -Q -o "$section" 2>/dev/null) || return 1
    # Each id of the file, with the value that belongs to it.
    tr '>' '\n' < "$file" | sed -n 's/.* id="\([^"]*\)".*/\1/p' | while read -r id; do
        value=$(tr '>' '\n' < "$file" | grep " id=\"$id\"" | sed -n 's/.* value="\([^"]*\)".*/\1/p' | head -n 1)
        line=$(printf '%s\n' "$live" | tr '>' '\n' | grep " id=\"$id\"" | head -n 1)
        [ -n "$line" ] || exit 1
        [ -z "$value" ] && continue
        case $line in *" value=\"$value\""*) ;; *) exit 1 ;; esac
    done
}

case $1 in
    check) check ;;
    load)
        check && exit 0
        cibadmin -C -o "$section" -x "$file" || cibadmin -M -o "$section" -x "$file"
        ;;
    *) echo "usage: $0 check|load SECTION FILE" >&2; exit 2 ;;
esac
