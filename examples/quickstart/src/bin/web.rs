//! A tiny web server: each visit is counted in the database behind a local port.
//!
//! It speaks plain TCP to that port and knows nothing of certificates or of the mesh.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(5);

fn main() -> std::io::Result<()> {
    let mut words = std::env::args().skip(1);
    let address = words.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let database = words.next().unwrap_or_else(|| "127.0.0.1:9191".to_owned());
    let listener = TcpListener::bind(&address)?;
    println!("web listens on {address}, its database is at {database}");
    for stream in listener.incoming().flatten() {
        let database = database.clone();
        std::thread::spawn(move || {
            // A browser that goes away is no business of the others.
            let _ = serve(stream, &database);
        });
    }
    Ok(())
}

fn serve(mut stream: TcpStream, database: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(LIMIT))?;
    for line in BufReader::new(stream.try_clone()?.take(64 << 10)).lines() {
        if line?.is_empty() {
            break;
        }
    }
    let (status, text) = match visit(database) {
        Ok(count) => ("200 OK", format!("visit {count}, counted by db through the mesh\n")),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {
            let text = "db cannot be reached: the connection was closed\n";
            ("503 Service Unavailable", text.to_owned())
        }
        Err(error) => ("503 Service Unavailable", format!("db cannot be reached: {error}\n")),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{text}",
        text.len()
    )
}

fn visit(database: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(database)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(b"INCR\n")?;
    let mut answer = String::new();
    BufReader::new(stream.take(1024)).read_line(&mut answer)?;
    if answer.is_empty() {
        return Err(ErrorKind::ConnectionReset.into());
    }
    Ok(answer.trim().to_owned())
}
