//! Quoting for a POSIX shell: the one place that does it.

/// Words that a shell takes for its own when they stand first and unquoted.
const RESERVED: [&str; 16] = [
    "case", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if", "in", "select", "then", "time",
    "until", "while",
];

/// One argument, quoted if a shell would see anything else in it than itself.
pub fn word(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

/// A command as one would type it: a shell splits it into exactly these arguments.
pub fn line(argv: &[String]) -> String {
    let mut shown = String::new();
    for (place, text) in argv.iter().enumerate() {
        if place == 0 {
            // Unquoted in first place, `a=b` would be an assignment and `if` a keyword.
            let own = text.contains('=') || RESERVED.contains(&text.as_str());
            shown.push_str(&if own { quoted(text) } else { word(text) });
        } else {
            shown.push(' ');
            shown.push_str(&word(text));
        }
    }
    shown
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&b))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    #[test]
    fn only_what_needs_it() {
        let cases = [
            ("drbdadm", "drbdadm"),
            ("/dev/sda3", "/dev/sda3"),
            ("--size=5G", "--size=5G"),
            ("root@10.0.0.1:/x,y", "root@10.0.0.1:/x,y"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$HOME", "'$HOME'"),
            ("~", "'~'"),
            ("*", "'*'"),
            ("é", "'é'"),
        ];
        for (text, want) in cases {
            assert_eq!(word(text), want);
        }
        assert_eq!(line(&["A=b".to_owned(), "A=b".to_owned()]), "'A=b' A=b");
        assert_eq!(line(&["if".to_owned(), "if".to_owned()]), "'if' if");
        assert_eq!(line(&[]), "");
    }

    /// Every text without NUL, with the characters a shell cares for more often than chance has them.
    fn text() -> impl Strategy<Value = String> {
        let nasty = prop::sample::select(" '\"$`\\*?[]{}!#~&|;<>()\n\t=-%^éa0/".chars().collect::<Vec<_>>());
        let any = any::<char>().prop_filter("no NUL in an argument", |c| *c != '\0');
        prop::collection::vec(prop_oneof![3 => nasty, 1 => any], 0..12).prop_map(|c| c.into_iter().collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn a_shell_reads_back_what_was_quoted(args in prop::collection::vec(text(), 0..6)) {
            let mut argv = vec!["printf".to_owned(), r"%s\000".to_owned(), "first".to_owned()];
            argv.extend(args);
            let out = Command::new("sh").arg("-c").arg(line(&argv)).output().unwrap();
            let want: Vec<u8> = argv[2..].iter().flat_map(|a| [a.as_bytes(), b"\0"].concat()).collect();
            prop_assert_eq!(out.stdout, want);
        }
    }
}
