//! A tiny database: it counts, and answers each line `INCR` with the new count.
//!
//! It speaks plain TCP on loopback and knows nothing of certificates or of the mesh.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

static COUNT: AtomicU64 = AtomicU64::new(0);

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".to_owned());
    let listener = TcpListener::bind(&address)?;
    println!("db listens on {address}");
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || {
            // A client that goes away in the middle of a line is no business of the others.
            let _ = serve(stream);
        });
    }
    Ok(())
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(600)))?;
    // A line is short: whoever sends more than this without a line end is cut off.
    let lines = BufReader::new(stream.try_clone()?.take(1 << 20)).lines();
    for line in lines {
        let answer = match line?.trim() {
            "INCR" => (COUNT.fetch_add(1, Ordering::Relaxed) + 1).to_string(),
            other => format!("ERR unknown command '{other}', try INCR"),
        };
        writeln!(stream, "{answer}")?;
    }
    Ok(())
}
