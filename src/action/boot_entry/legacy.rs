//! GRUB before its second version: `menu.lst`, which Debian's and Ubuntu's `update-grub` of that time wrote.
//!
//! What stands behind `# xenhopt=` is given to Xen in each entry that `update-grub` makes; `default` is the number of an
//! entry, counted from 0. The entries of a new kernel come before the old ones, so the number is looked up after
//! `update-grub` and not before.

use super::Entry;

/// `$1` menu, `$2` arguments for Xen.
pub(super) const SET: &str = r##"set -eu
menu=$1
new=$menu.hapair-new
change() { # change PROGRAM VALUE: the old menu or the new one, whenever the power goes
    cp -p "$menu" "$new"
    awk "$1" "$2" "$menu" >"$new"
    sync
    mv -f "$new" "$menu"
}
change 'BEGIN { want = ARGV[1]; ARGV[1] = "" } /^# xenhopt=/ { print "# xenhopt=" want; next } { print }' "$2"
update-grub
number=$(awk '/^title[ \t]/ { n++ } /^kernel[ \t]+[^ \t]*\/xen[^\/ \t]*\.gz/ { print n - 1; exit }' "$menu")
[ -n "$number" ] || { echo "update-grub made no entry with Xen in $menu: is a kernel for Xen installed?" >&2; exit 1; }
change 'BEGIN { want = ARGV[1]; ARGV[1] = "" } /^default[ \t]/ && !seen { print "default\t\t" want; seen = 1; next } { print }' "$number"
sync"##;

/// The entry that boots next; `None` if the menu has none.
pub(super) fn next_entry(text: &str) -> Option<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut default = "0";
    for line in text.lines().map(str::trim) {
        let (word, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let rest = rest.trim();
        match word {
            "default" if entries.is_empty() => default = rest,
            "title" => entries.push(Entry { title: rest.to_owned(), ..Entry::default() }),
            "kernel" => {
                let (file, arguments) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
                let name = file.rsplit('/').next().unwrap_or_default();
                let is_xen = name.strip_suffix(".gz").is_some_and(|stem| stem.starts_with("xen"));
                if let (true, Some(entry)) = (is_xen, entries.last_mut()) {
                    entry.xen = Some(arguments.trim().to_owned());
                }
            }
            _ => {}
        }
    }
    // `saved` is kept in a block of its own that is not read here: it counts as the first.
    let number = default.parse::<usize>().unwrap_or(0);
    (number < entries.len()).then(|| entries.swap_remove(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As update-grub of Ubuntu 7.10 wrote it, without what is in between.
    const MENU: &str = "# menu.lst - See: grub(8), info grub, update-grub(8)\ndefault\t\t0\n\ntimeout\t\t3\nhiddenmenu\n\n\
        ### BEGIN AUTOMAGIC KERNELS LIST\n# xenhopt=dom0_mem=1024M\n# xenkopt=console=tty0\n## ## End Default Options ##\n\n\
        title\t\tUbuntu 7.10, kernel 2.6.22-14-generic\nroot\t\t(hd0,0)\nkernel\t\t/boot/vmlinuz-2.6.22-14-generic root=/dev/sda1 ro quiet\n\
        initrd\t\t/boot/initrd.img-2.6.22-14-generic\n\n\
        title\t\tXen 3.1 / Ubuntu 7.10, kernel 2.6.22-14-xen\nroot\t\t(hd0,0)\nkernel\t\t/boot/xen-3.1.gz dom0_mem=1024M\n\
        module\t\t/boot/vmlinuz-2.6.22-14-xen root=/dev/sda1 ro console=tty0\nmodule\t\t/boot/initrd.img-2.6.22-14-xen\n\
        ### END DEBIAN AUTOMAGIC KERNELS LIST\n";

    #[test]
    fn the_default_is_a_number() {
        let entry = next_entry(MENU).expect("an entry");
        assert_eq!((entry.title.as_str(), entry.xen), ("Ubuntu 7.10, kernel 2.6.22-14-generic", None));
        let entry = next_entry(&MENU.replace("default\t\t0", "default\t\t1")).expect("an entry");
        assert_eq!(entry.title, "Xen 3.1 / Ubuntu 7.10, kernel 2.6.22-14-xen");
        assert_eq!(entry.xen.as_deref(), Some("dom0_mem=1024M"));
        assert_eq!(next_entry(""), None);
        assert_eq!(next_entry(&MENU.replace("default\t\t0", "default\t\t7")), None);
        assert!(next_entry(&MENU.replace("default\t\t0", "default\t\tsaved")).is_some_and(|entry| entry.xen.is_none()));
    }
}
