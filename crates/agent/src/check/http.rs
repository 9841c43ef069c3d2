//! Checks that send an HTTP request: 2xx passes, 429 warns, everything else is critical.
//!
//! Connections are not kept. Up to ten redirects are followed. Bodies are read up to a limit, of
//! which the end becomes the output.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use lictor_types::check::Status;

use super::dial;
use super::exchange::{Answer, exchange};
use super::runner::Outcome;
use super::tls::ProbeTls;

const REDIRECTS: usize = 10;

/// Sends a request.
#[derive(Debug)]
pub(super) struct HttpProbe {
    url: String,
    timeout: Duration,
    tls: ProbeTls,
    /// What to send first, or why nothing can be sent.
    first: Result<Target, String>,
}

/// A request to be made.
#[derive(Clone, Debug)]
struct Target {
    uri: Uri,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
}

impl HttpProbe {
    pub(super) fn new(
        url: &str,
        method: &str,
        header: &BTreeMap<String, Vec<String>>,
        body: &str,
        tls: ProbeTls,
        timeout: Duration,
    ) -> Self {
        let first = Target::new(url, method, header, body);
        Self { url: url.to_owned(), timeout, tls, first }
    }

    pub(super) async fn run(&self) -> Outcome {
        let first = match &self.first {
            Ok(target) => target,
            Err(text) => return Outcome::critical(text.clone()),
        };
        let method = first.method.as_str();
        let answer = match tokio::time::timeout(self.timeout, self.follow(first.clone())).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(text)) => {
                return Outcome::critical(format!("{} {}: {text}", go_verb(method), self.url));
            }
            Err(_) => {
                let text = "net/http: request canceled (Client.Timeout exceeded)";
                return Outcome::critical(format!("{} {}: {text}", go_verb(method), self.url));
            }
        };
        let status = match answer.status {
            status if status.is_success() => Status::Passing,
            StatusCode::TOO_MANY_REQUESTS => Status::Warning,
            _ => Status::Critical,
        };
        let reason = answer.status.canonical_reason().unwrap_or_default();
        let line = format!("{} {reason}", answer.status.as_u16());
        let output =
            format!("HTTP {method} {}: {} Output: {}", self.url, line.trim(), answer.body.text());
        Outcome::new(status, output)
    }

    async fn follow(&self, mut target: Target) -> Result<Answer, String> {
        for _ in 0..=REDIRECTS {
            let answer = self.send(&target).await?;
            match target.redirected(&answer)? {
                Some(next) => target = next,
                None => return Ok(answer),
            }
        }
        Err(format!("stopped after {REDIRECTS} redirects"))
    }

    async fn send(&self, target: &Target) -> Result<Answer, String> {
        let host = target.uri.host().ok_or("http: no Host in request URL")?;
        let tls = target.is_tls();
        let port = target.uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let stream = dial::connect(host, port).await?;
        let request = target.request()?;
        if tls {
            let stream = self.tls.connect(stream, host, b"").await?;
            exchange(stream, request).await
        } else {
            exchange(stream, request).await
        }
    }
}

impl Target {
    fn new(
        url: &str,
        method: &str,
        header: &BTreeMap<String, Vec<String>>,
        body: &str,
    ) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|e| format!("parse {url}: {e}"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            let scheme = uri.scheme_str().unwrap_or_default();
            return Err(format!("Get {url}: unsupported protocol scheme \"{scheme}\""));
        }
        let method = if method.is_empty() { "GET" } else { method };
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|_| format!("net/http: invalid method \"{method}\""))?;
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static("Consul Health Check"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/plain, text/*, */*"));
        for (name, values) in header {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| format!("net/http: invalid header field name \"{name}\""))?;
            headers.remove(&name);
            for value in values {
                let value = HeaderValue::from_str(value).map_err(|_| {
                    format!("net/http: invalid header field value \"{value}\" for key {name}")
                })?;
                headers.append(&name, value);
            }
        }
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        Ok(Self { uri, method, headers, body: Bytes::copy_from_slice(body.as_bytes()) })
    }

    fn is_tls(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    fn request(&self) -> Result<Request<Full<Bytes>>, String> {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = path.parse().map_err(|e| format!("{e}"))?;
        *request.headers_mut() = self.headers.clone();
        if !self.headers.contains_key(header::HOST) {
            let authority = self.uri.authority().map_or("", |authority| authority.as_str());
            let host = authority.rsplit('@').next().unwrap_or_default();
            let host = HeaderValue::from_str(host).map_err(|e| e.to_string())?;
            request.headers_mut().insert(header::HOST, host);
        }
        Ok(request)
    }

    /// Where the answer sends us, if it does.
    fn redirected(&self, answer: &Answer) -> Result<Option<Self>, String> {
        let keeps_method = match answer.status.as_u16() {
            301..=303 => false,
            307 | 308 => true,
            _ => return Ok(None),
        };
        let Some(location) = &answer.location else {
            return Err(format!("{} response missing Location header", answer.status.as_u16()));
        };
        let uri = join(&self.uri, location)
            .ok_or_else(|| format!("failed to parse Location header \"{location}\""))?;
        let mut next = Self { uri, ..self.clone() };
        if !keeps_method && !matches!(self.method, Method::GET | Method::HEAD) {
            next.method = Method::GET;
            next.body = Bytes::new();
        }
        if next.uri.host() != self.uri.host() {
            for secret in [header::AUTHORIZATION, header::COOKIE, header::HOST] {
                next.headers.remove(secret);
            }
        }
        Ok(Some(next))
    }
}

/// Resolves a `Location` against the URL that gave it.
fn join(base: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next().unwrap_or_default();
    let scheme = base.scheme_str()?;
    let authority = base.authority()?.as_str();
    let full = if location.starts_with("http://") || location.starts_with("https://") {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.starts_with('?') {
        format!("{scheme}://{authority}{}{location}", base.path())
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    full.parse().ok()
}

/// The method as error texts spell it: `Get`.
fn go_verb(method: &str) -> String {
    let (first, rest) = method.split_at(1.min(method.len()));
    format!("{first}{}", rest.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_resolved() {
        let base: Uri = "http://a:1/x/y?z".parse().unwrap();
        for (location, expected) in [
            ("https://b/c", "https://b/c"),
            ("//b/c#frag", "http://b/c"),
            ("/c?d", "http://a:1/c?d"),
            ("c", "http://a:1/x/c"),
            ("?q", "http://a:1/x/y?q"),
        ] {
            assert_eq!(join(&base, location).unwrap().to_string(), expected);
        }
        assert!(join(&base, "/a b").is_none());
    }

    #[test]
    fn impossible_requests_are_told() {
        let none = BTreeMap::new();
        for (url, method) in [("", "GET"), ("/x", "GET"), ("ftp://x/", "GET"), ("http://x/", "A B")]
        {
            assert!(Target::new(url, method, &none, "").is_err(), "{url} {method}");
        }
        let bad = BTreeMap::from([("X Y".to_owned(), vec![])]);
        assert!(Target::new("http://x/", "", &bad, "").is_err());
    }
}
