//! Secrets engines of the kind `pki`: mounts, authorities, roles, signatures.
//!
//! A mount is a path with a slash at its end. Certificates and requests are PEM as Vault gives
//! them, with a line's end after the last.

use std::time::Duration;

use lictor_api::client::Method;
use serde_json::{Map, Value, json};

use crate::{Error, Vault};

/// What a mount has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authority {
    /// Nothing is mounted there.
    Absent,
    /// It has no certificate yet.
    Empty,
    /// This certificate signs there.
    Certificate(String),
}

/// An authority to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewAuthority<'a> {
    /// What it is called.
    pub common_name: &'a str,
    /// Its one URI.
    pub uri: &'a str,
    /// `ec` or `rsa`.
    pub key_type: &'a str,
    /// Of the key.
    pub key_bits: u32,
}

/// A request for an authority whose key is in Vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewIntermediate {
    /// The request.
    pub csr: String,
    /// Vault's name for the key; empty before Vault 1.11.
    pub key_id: String,
}

/// A certificate that a mount has taken in, of several that it can have since Vault 1.11.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// Vault's name for it.
    pub id: String,
    /// Of the key that belongs to it; empty for one whose key is elsewhere.
    pub key_id: String,
}

fn text(of: &Map<String, Value>, name: &str) -> String {
    of.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Vault's durations.
fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs())
}

/// PEM that ends with its line.
fn whole(mut pem: String) -> String {
    if !pem.is_empty() && !pem.ends_with('\n') {
        pem.push('\n');
    }
    pem
}

impl Vault {
    /// What a mount has. This needs no right.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn authority(&self, mount: &str) -> Result<Authority, Error> {
        let path = format!("{mount}ca/pem");
        let answer = self.exchange(Method::GET, &path, None).await?;
        match answer.status {
            404 => Ok(Authority::Absent),
            204 => Ok(Authority::Empty),
            200 => match std::str::from_utf8(&answer.body) {
                Ok(pem) if pem.trim().is_empty() => Ok(Authority::Empty),
                Ok(pem) => Ok(Authority::Certificate(whole(pem.to_owned()))),
                Err(_) => Err(Error::answer(format!("GET /v1/{path}"), "it is not PEM")),
            },
            _ => Err(Error::refused(format!("GET /v1/{path}"), &answer)),
        }
    }

    /// Mounts an engine. What it signs lives no longer than `ttl`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn mount(&self, mount: &str, purpose: &str, ttl: Duration) -> Result<(), Error> {
        let body = json!({
            "type": "pki",
            "description": purpose,
            "config": { "max_lease_ttl": seconds(ttl) },
        });
        let path = format!("sys/mounts/{}", mount.trim_end_matches('/'));
        self.call(Method::POST, &path, Some(&body)).await.map(drop)
    }

    /// Takes an engine away with all that it has; one that is not there is no error.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn unmount(&self, mount: &str) -> Result<(), Error> {
        let path = format!("sys/mounts/{}", mount.trim_end_matches('/'));
        match self.call(Method::DELETE, &path, None).await {
            Err(error) if error.is_absent() => Ok(()),
            other => other.map(drop),
        }
    }

    /// Makes a root in an engine that has none, and gives its certificate.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn generate_root(
        &self,
        mount: &str,
        new: &NewAuthority<'_>,
        ttl: Duration,
    ) -> Result<String, Error> {
        let mut body = new.body();
        body.insert("ttl".to_owned(), seconds(ttl).into());
        self.certificate(&format!("{mount}root/generate/internal"), body).await
    }

    /// Makes a key for an authority below a root, which replaces the engine's when the certificate
    /// is brought.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn generate_intermediate(
        &self,
        mount: &str,
        new: &NewAuthority<'_>,
    ) -> Result<NewIntermediate, Error> {
        let path = format!("{mount}intermediate/generate/internal");
        let data = self.data(Method::PUT, &path, Some(&Value::Object(new.body()))).await?;
        let made =
            NewIntermediate { csr: whole(text(&data, "csr")), key_id: text(&data, "key_id") };
        if made.csr.is_empty() {
            return Err(Error::answer(format!("PUT /v1/{path}"), "it has no certificate request"));
        }
        Ok(made)
    }

    /// Has the engine's root sign an authority. With `last` it signs none below it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn sign_intermediate(
        &self,
        mount: &str,
        csr: &str,
        ttl: Duration,
        last: bool,
    ) -> Result<String, Error> {
        let mut body = Map::new();
        body.insert("csr".to_owned(), csr.into());
        body.insert("use_csr_values".to_owned(), true.into());
        body.insert("format".to_owned(), "pem_bundle".into());
        body.insert("ttl".to_owned(), seconds(ttl).into());
        if last {
            body.insert("max_path_length".to_owned(), 0.into());
        }
        self.certificate(&format!("{mount}root/sign-intermediate"), body).await
    }

    /// Brings the certificate for the key that was made last. Since Vault 1.11 the answer says what
    /// was taken in; an engine that had another certificate goes on using that one.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn set_signed(&self, mount: &str, pem: &str) -> Result<Vec<Issuer>, Error> {
        let path = format!("{mount}intermediate/set-signed");
        let body = json!({ "certificate": pem });
        let answer = self.call(Method::PUT, &path, Some(&body)).await?;
        let mapping = answer
            .as_ref()
            .and_then(|answer| answer.get("data"))
            .and_then(|data| data.get("mapping"))
            .and_then(Value::as_object);
        let issuer = |(id, key): (&String, &Value)| Issuer {
            id: id.clone(),
            key_id: key.as_str().unwrap_or_default().to_owned(),
        };
        Ok(mapping.into_iter().flatten().map(issuer).collect())
    }

    /// Has the engine use this certificate from now on (Vault 1.11).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn use_issuer(&self, mount: &str, issuer: &str) -> Result<(), Error> {
        let path = format!("{mount}config/issuers");
        let body = json!({ "default": issuer });
        self.call(Method::PUT, &path, Some(&body)).await.map(drop)
    }

    /// Whether the engine has this role.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn has_role(&self, mount: &str, role: &str) -> Result<bool, Error> {
        match self.call(Method::GET, &format!("{mount}roles/{role}"), None).await {
            Err(error) if error.is_absent() => Ok(false),
            other => other.map(|answer| answer.is_some()),
        }
    }

    /// Makes a role, or replaces it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn write_role(
        &self,
        mount: &str,
        role: &str,
        rules: Map<String, Value>,
    ) -> Result<(), Error> {
        let path = format!("{mount}roles/{role}");
        self.call(Method::PUT, &path, Some(&Value::Object(rules))).await.map(drop)
    }

    /// Has a leaf signed as the role allows; `also` is what else the request says. Gives the leaf
    /// alone.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn sign_leaf(
        &self,
        mount: &str,
        role: &str,
        csr: &str,
        ttl: Duration,
        mut also: Map<String, Value>,
    ) -> Result<String, Error> {
        also.insert("csr".to_owned(), csr.into());
        also.insert("ttl".to_owned(), seconds(ttl).into());
        self.certificate(&format!("{mount}sign/{role}"), also).await
    }

    /// Has the engine's root sign another root's certificate anew.
    ///
    /// # Errors
    /// See [`Error`]; the token needs `sudo` for this path.
    pub async fn sign_self_issued(&self, mount: &str, pem: &str) -> Result<String, Error> {
        let mut body = Map::new();
        body.insert("certificate".to_owned(), pem.into());
        self.certificate(&format!("{mount}root/sign-self-issued"), body).await
    }

    /// A call whose answer is a certificate.
    async fn certificate(&self, path: &str, body: Map<String, Value>) -> Result<String, Error> {
        let data = self.data(Method::PUT, path, Some(&Value::Object(body))).await?;
        match text(&data, "certificate") {
            none if none.is_empty() => {
                Err(Error::answer(format!("PUT /v1/{path}"), "it has no certificate"))
            }
            pem => Ok(whole(pem)),
        }
    }
}

impl NewAuthority<'_> {
    fn body(&self) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("common_name".to_owned(), self.common_name.into());
        body.insert("uri_sans".to_owned(), self.uri.into());
        body.insert("key_type".to_owned(), self.key_type.into());
        body.insert("key_bits".to_owned(), self.key_bits.into());
        body
    }
}
