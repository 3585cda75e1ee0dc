//! A web server of one folder, for the machines' package source. It listens on 127.0.0.1 only, which the machines reach
//! as 10.0.2.2, and knows what apt asks of a mirror: GET and HEAD of files, several requests on one connection.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// How long a silent connection is kept. Longer than apt takes in an emulated machine from one request to the next.
const PATIENCE: Duration = Duration::from_secs(300);
/// Longest request line or header that is read.
const LINE: u64 = 8192;

/// The server; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    ends: Arc<AtomicBool>,
}

impl Server {
    /// Serves the files below `folder` on a free port.
    ///
    /// # Errors
    /// When no port can be had.
    pub(super) fn start(folder: &Path) -> Result<Server> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .context("listen on a free port of 127.0.0.1 for the package repository")?;
        let address = listener.local_addr().context("ask for the package repository's port")?;
        let ends = Arc::new(AtomicBool::new(false));
        let (folder, ended) = (Arc::<Path>::from(folder), Arc::clone(&ends));
        thread::Builder::new()
            .name("repository".to_owned())
            .spawn(move || {
                for stream in listener.incoming() {
                    if ended.load(Ordering::Relaxed) {
                        break;
                    }
                    let Ok(stream) = stream else { continue };
                    let folder = Arc::clone(&folder);
                    // A connection that breaks is apt's to try again.
                    thread::spawn(move || drop(answer_all(&folder, &stream)));
                }
            })
            .context("start the package repository's thread")?;
        Ok(Server { address, ends })
    }

    /// The port on 127.0.0.1.
    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // Wakes the thread, which waits for a connection.
        let _ = TcpStream::connect(self.address);
    }
}

fn answer_all(folder: &Path, stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = line(&mut reader)? {
        let mut stays = request.ends_with("HTTP/1.1");
        while let Some(header) = line(&mut reader)? {
            if header.is_empty() {
                break;
            }
            stays &= !header.to_ascii_lowercase().starts_with("connection: close");
        }
        answer(folder, &request, stream)?;
        if !stays {
            break;
        }
    }
    Ok(())
}

/// The next line without its end; none when the other side has closed.
fn line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut text = String::new();
    let length = reader.take(LINE).read_line(&mut text)?;
    Ok((length > 0).then(|| text.trim_end().to_owned()))
}

fn answer(folder: &Path, request: &str, mut stream: &TcpStream) -> io::Result<()> {
    let mut words = request.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if !matches!(method, "GET" | "HEAD") {
        return stream.write_all(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n");
    }
    // apt asks for compressed indexes and signatures first; that they aren't there is an ordinary answer.
    let Some(mut file) = path(folder, target).and_then(|path| open(&path).ok()) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    };
    let length = file.metadata()?.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nContent-Type: application/octet-stream\r\n\r\n")?;
    if method == "GET" {
        io::copy(&mut file, &mut stream)?;
    }
    Ok(())
}

fn open(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// The file that a request's target names; none for whatever would lead out of the folder.
fn path(folder: &Path, target: &str) -> Option<PathBuf> {
    let target = decoded(target.split(['?', '#']).next()?)?;
    let mut path = folder.to_owned();
    for part in Path::new(target.trim_start_matches('/')).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

/// Undoes percent encoding: a package with an epoch is `name_1%3a2_all.deb` on the disk, so `name_1%253a2_all.deb` here.
fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(server: &Server, text: &str) -> String {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut out = String::new();
        stream.read_to_string(&mut out).unwrap();
        out
    }

    #[test]
    fn serves_files_and_nothing_outside() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a_1%3a2.deb"), "package").unwrap();
        let server = Server::start(folder.path()).unwrap();
        let both = ask(
            &server,
            "HEAD /./a_1%253a2.deb HTTP/1.1\r\n\r\nGET /a_1%253a2.deb HTTP/1.1\r\nConnection: close\r\n\r\n",
        );
        assert_eq!(both.matches("200 OK").count(), 2, "{both}");
        assert!(both.ends_with("\r\n\r\npackage"), "{both}");
        for target in ["/../etc/passwd", "/%2e%2e/etc/passwd", "/", "/none", "/%"] {
            let answer = ask(&server, &format!("GET {target} HTTP/1.0\r\n\r\n"));
            assert!(answer.starts_with("HTTP/1.1 404"), "{target}: {answer}");
        }
        assert!(ask(&server, "POST / HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 405"));
    }
}
