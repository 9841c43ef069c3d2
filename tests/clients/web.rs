//! A small web server: an instance of a service that says who it is, and counts its visitors.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};

/// Starts a server at an address of this machine that answers every request with `text`; its
/// port. It ends with the process.
pub(crate) fn serve(address: &str, text: &'static str) -> u16 {
    let listener = TcpListener::bind((address, 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream, text));
        }
    });
    port
}

/// One answer for a connection; the body of the request is not waited for.
fn answer(mut stream: TcpStream, text: &str) {
    let Ok(reading) = stream.try_clone() else { return };
    let head = BufReader::new(reading).lines().map_while(Result::ok);
    if head.take_while(|line| !line.is_empty()).count() > 0 {
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{text}",
            text.len()
        );
    }
}
