//! Many reads in one round trip.
//!
//! A script goes to `sh -s` on standard input, so its length has no limit and no shell quotes it
//! twice. Each read runs as `(exec program args)`: one fork, never a shell builtin, and whatever it
//! does to its own process leaves the script alone. What the reads say goes to files, and comes back
//! behind their sizes, so no byte in it can be taken for the frame.
//!
//! Forks count: on an emulated node each costs 25 ms. There is one per read (two with standard input)
//! and four more: `mktemp`, `wc`, `cat`, `rm`.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Cmd, Effect, Lost, Output, Transport, quote};

/// No batch may take longer than this, however many reads it has.
const LONGEST: Duration = Duration::from_secs(300);

const LATE: i32 = Output::LATE;

/// Looks for a place in memory first: a read should not write to a disk. When the time is up,
/// `timeout` ends the read that runs; the trap keeps the script alive to hand over what there is.
const HEAD: &str = r#"for t in /dev/shm /run "${TMPDIR:-/tmp}"; do
if [ -d "$t" ] && [ -w "$t" ]; then break; fi
done
d=$(TMPDIR=$t mktemp -d) || exit 99
c=; f=; late=
trap 'late=1' TERM
"#;

const TAIL: &str = r#"cd "$d" || exit 99
printf '%s\n' "$c"
case $f in ?*) wc -c $f; cat $f;; esac
cd /
rm -rf "$d"
exit 0
"#;

/// Runs all reads in one [`Transport::exec`]; the outputs are in their order.
///
/// A read that had no time to finish has exit code 124. Prefer [`Transport::exec_all`], which a
/// transport may answer in another way.
///
/// # Errors
/// [`Lost::Refused`] when one is not marked as a read; otherwise as [`Transport::exec`].
pub fn exec(t: &(impl Transport + ?Sized), reads: &[Cmd]) -> Result<Vec<Output>, Lost> {
    only_reads(reads)?;
    match reads {
        [] => return Ok(Vec::new()),
        [one] => return Ok(vec![t.exec(one)?]),
        _ => {}
    }
    for cmd in reads {
        cmd.is_runnable()?;
    }
    let limit = reads.iter().map(|cmd| cmd.timeout).sum::<Duration>().min(LONGEST);
    let batch = Cmd::read(["sh", "-s"]).stdin(script(reads)).secret(reads.iter().any(|cmd| cmd.secret)).timeout(limit);
    let output = t.exec(&batch)?;
    let late = output.code == LATE || output.code == 137;
    match parse(&output.stdout) {
        Some(mut done) if done.len() == reads.len() || (late && done.len() < reads.len()) => {
            done.resize_with(reads.len(), || not_run(limit));
            Ok(done)
        }
        _ if late => Ok(reads.iter().map(|_| not_run(limit)).collect()),
        // No place for temporary files, or one of the four programs is missing: slow, but it works.
        _ => reads.iter().map(|cmd| t.exec(cmd)).collect(),
    }
}

/// Refuses a list with a write in it.
///
/// # Errors
/// [`Lost::Refused`], with the command.
pub fn only_reads(reads: &[Cmd]) -> Result<(), Lost> {
    match reads.iter().find(|cmd| cmd.effect != Effect::Read) {
        Some(write) => Err(Lost::Refused(write.shown())),
        None => Ok(()),
    }
}

fn not_run(limit: Duration) -> Output {
    let why = format!("the time of its batch ({} s) was up before it could run\n", limit.as_secs());
    Output { code: LATE, stdout: Vec::new(), stderr: why.into_bytes() }
}

fn script(reads: &[Cmd]) -> String {
    let mut text = HEAD.to_owned();
    for (i, cmd) in reads.iter().enumerate() {
        let run = quote::line(&cmd.argv);
        let input = if cmd.stdin.is_empty() { String::new() } else { format!("{} | ", printed(&cmd.stdin)) };
        let null = if cmd.stdin.is_empty() { " </dev/null" } else { "" };
        // The file names stay short (`o7`): `wc` and `cat` run inside the folder.
        let _ = write!(
            text,
            "case $late in '') f=\"$f o{i} e{i}\"\n\
             {input}(exec {run}){null} >>\"$d/o{i}\" 2>>\"$d/e{i}\"\n\
             s=$?; case $late in 1) s={LATE};; esac; c=\"$c $s\";; esac\n"
        );
    }
    text + TAIL
}

/// A shell command that prints these bytes: through a pipe, since a secret has no place in a file.
fn printed(bytes: &[u8]) -> String {
    let mut text = "{ ".to_owned();
    for chunk in bytes.chunks(1000) {
        text.push_str("printf %b '");
        for byte in chunk {
            if byte.is_ascii_alphanumeric() || b" -_./:,=\n".contains(byte) {
                text.push(char::from(*byte));
            } else {
                let _ = write!(text, "\\0{byte:03o}");
            }
        }
        text.push_str("'; ");
    }
    // A program that does not read its input leaves a broken pipe here; nobody wants to know.
    text + "} 2>/dev/null"
}

/// Exit codes, a size for each file with their sum, then the files; anything else is `None`.
fn parse(answer: &[u8]) -> Option<Vec<Output>> {
    let mut rest = answer;
    let codes =
        take_line(&mut rest)?.split_ascii_whitespace().map(|code| code.parse().ok()).collect::<Option<Vec<i32>>>()?;
    let mut sizes = Vec::with_capacity(codes.len() * 2);
    for _ in 0..codes.len() * 2 {
        sizes.push(take_line(&mut rest)?.split_ascii_whitespace().next()?.parse::<usize>().ok()?);
    }
    if !codes.is_empty() {
        take_line(&mut rest)?;
    }
    // Too much: a file grew after it was measured, and what follows it has moved.
    if sizes.iter().sum::<usize>() != rest.len() {
        return None;
    }
    let mut outputs = Vec::with_capacity(codes.len());
    for (code, pair) in codes.into_iter().zip(sizes.chunks_exact(2)) {
        let (stdout, after) = rest.split_at_checked(pair[0])?;
        let (stderr, after) = after.split_at_checked(pair[1])?;
        rest = after;
        outputs.push(Output { code, stdout: stdout.to_vec(), stderr: stderr.to_vec() });
    }
    Some(outputs)
}

fn take_line<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let end = rest.iter().position(|b| *b == b'\n')?;
    let (line, after) = rest.split_at(end);
    *rest = after.get(1..)?;
    std::str::from_utf8(line).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]
    use std::path::Path;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use super::*;
    use crate::node::scripted::says;

    /// Runs what it is given under a shell of its own, and counts.
    struct Shell {
        program: &'static [&'static str],
        trips: AtomicUsize,
        last: Mutex<Option<Cmd>>,
    }

    impl Transport for Shell {
        fn exec(&self, cmd: &Cmd) -> Result<Output, Lost> {
            self.trips.fetch_add(1, Ordering::SeqCst);
            *self.last.lock().unwrap() = Some(cmd.clone());
            let mut argv = vec!["timeout".to_owned(), "-k".into(), "10".into()];
            argv.push(cmd.timeout.as_secs_f64().to_string());
            argv.extend(self.program.iter().map(|s| (*s).to_owned()));
            argv.extend(cmd.argv[1..].iter().cloned());
            let run = duct::cmd(&argv[0], &argv[1..]).stdin_bytes(cmd.stdin.clone());
            let out = run.stdout_capture().stderr_capture().unchecked().run().unwrap();
            Ok(Output { code: out.status.code().unwrap_or(-1), stdout: out.stdout, stderr: out.stderr })
        }
    }

    fn shells() -> Vec<Shell> {
        let all: [&[&str]; 4] = [&["/bin/sh"], &["/bin/dash"], &["/bin/bash"], &["/bin/busybox", "sh"]];
        all.into_iter()
            .filter(|p| Path::new(p[0]).exists())
            .map(|program| Shell { program, trips: AtomicUsize::new(0), last: Mutex::default() })
            .collect()
    }

    fn places() -> usize {
        std::fs::read_dir("/dev/shm")
            .map_or(0, |all| all.flatten().filter(|e| e.file_name().to_string_lossy().starts_with("tmp.")).count())
    }

    #[test]
    fn every_output_comes_back_exactly() {
        let big = "yes 0123456789abcde | head -c 1048576";
        let nul: Vec<u8> = (0..=255).cycle().take(2500).collect();
        let reads = [
            Cmd::read_sh(big, [""; 0]),
            Cmd::read_sh(r"printf '\000\001\377x'; printf '\376\n\n' >&2", [""; 0]),
            Cmd::read(["true"]),
            Cmd::read(["no-such-program", "x"]),
            Cmd::read_sh("echo no >&2; exit 3", [""; 0]),
            Cmd::read_sh("kill -9 $$", [""; 0]),
            Cmd::read(["exit", "5"]),
            Cmd::read(["printf", "%s|", "it's", "$HOME", "", "a\nb", "*"]),
            Cmd::read(["cat"]).stdin(nul.clone()),
            Cmd::read(["cat"]).stdin("it's 100%s \\n\\\\ 'x'"),
            Cmd::read(["false"]).stdin(nul.repeat(100)),
            Cmd::read(["cat"]),
            Cmd::read(["printf", " 0 0\\n 1 o0\\n 2 total\\n"]),
        ];
        for shell in shells() {
            let outs = exec(&shell, &reads).unwrap();
            let name = shell.program;
            assert_eq!(shell.trips.load(Ordering::SeqCst), 1, "{name:?}");
            let codes: Vec<i32> = outs.iter().map(|o| o.code).collect();
            assert_eq!(codes, [0, 0, 0, 127, 3, 137, 127, 0, 0, 0, 1, 0, 0], "{name:?}");
            assert_eq!(outs[0].stdout.len(), 1_048_576);
            assert!(outs[0].stdout.chunks(16).all(|c| c == b"0123456789abcde\n"));
            assert_eq!((&outs[1].stdout[..], &outs[1].stderr[..]), (&b"\0\x01\xffx"[..], &b"\xfe\n\n"[..]));
            assert_eq!(outs[2], Output::default());
            assert!(outs[3].errors().contains("not found"), "{name:?}: {}", outs[3].errors());
            assert_eq!((outs[4].text(), outs[4].errors()), (String::new(), "no\n".to_owned()));
            assert_eq!(outs[7].text(), "it's|$HOME||a\nb|*|");
            assert_eq!(outs[8].stdout, nul, "{name:?}");
            assert_eq!(outs[9].text(), "it's 100%s \\n\\\\ 'x'", "{name:?}");
            assert_eq!(outs[11], Output::default());
            assert_eq!(outs[12].text(), " 0 0\n 1 o0\n 2 total\n");
        }
    }

    #[test]
    fn fifty_reads_one_trip_nothing_left_behind() {
        for shell in shells() {
            let reads: Vec<Cmd> = (0..50).map(|i| Cmd::read(["echo", &i.to_string()])).collect();
            let before = places();
            let outs = exec(&shell, &reads).unwrap();
            assert!(outs.iter().enumerate().all(|(i, o)| o.ok() && o.line() == i.to_string()));
            assert_eq!(shell.trips.load(Ordering::SeqCst), 1);
            // Other tests may be at work at the same moment: the count must come down again.
            let done = (0..100).any(|_| {
                std::thread::sleep(Duration::from_millis(50));
                places() <= before
            });
            assert!(done, "{:?} left a folder behind", shell.program);
        }
    }

    #[test]
    fn an_empty_batch_makes_no_trip_and_writes_are_refused() {
        let shell = &shells()[0];
        assert_eq!(exec(shell, &[]), Ok(Vec::new()));
        let write = Cmd::write(["touch", "/x"]);
        assert_eq!(exec(shell, &[Cmd::read(["true"]), write]), Err(Lost::Refused("touch /x".to_owned())));
        assert!(matches!(exec(shell, &[Cmd::read(["a\0"]), Cmd::read(["b"])]), Err(Lost::Refused(_))));
        assert_eq!(shell.trips.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn limits_add_up_and_a_secret_stays_one() {
        let shell = &shells()[0];
        let secret = Cmd::read(["cat"]).stdin("s").secret(true).timeout(Duration::from_secs(20));
        exec(shell, &[secret, Cmd::read(["true"])]).unwrap();
        let batch = shell.last.lock().unwrap().clone().unwrap();
        assert_eq!((batch.timeout, batch.secret), (Duration::from_secs(80), true));
        let many: Vec<Cmd> = (0..9).map(|_| Cmd::read(["true"])).collect();
        exec(shell, &many).unwrap();
        assert_eq!(shell.last.lock().unwrap().as_ref().unwrap().timeout, LONGEST);
    }

    #[test]
    fn when_time_is_up_what_is_done_is_kept() {
        let limit = Duration::from_millis(500);
        let reads = [
            Cmd::read(["echo", "done"]).timeout(limit),
            Cmd::read_sh("echo begun; exec sleep 30", [""; 0]).timeout(limit),
            Cmd::read(["echo", "never"]).timeout(Duration::ZERO),
        ];
        for shell in shells() {
            let start = Instant::now();
            let outs = exec(&shell, &reads).unwrap();
            assert!(start.elapsed() < Duration::from_secs(8), "{:?}", shell.program);
            let codes: Vec<i32> = outs.iter().map(|o| o.code).collect();
            assert_eq!(codes, [0, 124, 124], "{:?}", shell.program);
            assert_eq!(
                (outs[0].line(), outs[1].line(), outs[2].line()),
                ("done".into(), "begun".into(), String::new())
            );
        }
    }

    #[test]
    fn without_a_place_for_files_they_run_one_by_one() {
        let node = crate::node::scripted::Scripted::new(|cmd| {
            Ok(if cmd.argv[0] == "sh" { Output { code: 99, ..Output::default() } } else { says(cmd.shown()) })
        });
        let outs = exec(&node, &[Cmd::read(["a"]), Cmd::read(["b"])]).unwrap();
        assert_eq!((outs[0].line(), outs[1].line(), node.trips()), ("a".into(), "b".into(), 3));
    }

    #[test]
    fn a_frame_that_does_not_add_up_is_no_answer() {
        assert_eq!(parse(b" 0\n 1 o0\n 0 e0\n 1 total\nx").unwrap().len(), 1);
        for bad in [
            &b" 0\n 1 o0\n 0 e0\n 1 total\nxy"[..],
            b" 0\n 2 o0\n 0 e0\n",
            b"",
            b" x\n",
            b" 0\n 9 o0\n 0 e0\n 9 total\nx",
        ] {
            assert_eq!(parse(bad), None);
        }
    }
}
