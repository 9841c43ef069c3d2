//! Settings of the Vault provider.

use serde_json::{Map, Value};

use super::{Kind, ProviderSettings, Reading};

/// Where the authority is in Vault, and how new keys are made there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VaultSettings {
    /// Where Vault is, and who asks it.
    pub(crate) server: lictor_vault::Settings,
    /// Path of the root's engine, with a slash at its end. Not used below another datacenter's root.
    pub(crate) root_path: String,
    /// Path of the engine that signs leaves, with a slash at its end.
    pub(crate) intermediate_path: String,
    /// `ec` or `rsa`.
    pub(crate) key_type: String,
    /// Of new keys.
    pub(crate) key_bits: u32,
}

/// Kinds of keys by their names, with the sizes that can be verified in the mesh. The first is taken
/// when the settings say nothing.
const KEYS: [(&str, [u32; 2]); 2] = [("ec", [256, 384]), ("rsa", [2048, 4096])];

pub(super) fn read(config: &Map<String, Value>) -> Result<ProviderSettings, String> {
    let mut reading = Reading::default();
    let mut server = lictor_vault::Settings::default();
    let (mut root_path, mut intermediate_path) = (String::new(), String::new());
    let (mut key_type, mut key_bits) = (String::new(), None);
    for (key, value) in config {
        let name = key.to_ascii_lowercase();
        let place = match name.as_str() {
            "address" => &mut server.address,
            "token" => &mut server.token,
            "namespace" => &mut server.namespace,
            "cafile" => &mut server.ca_file,
            "capath" => &mut server.ca_path,
            "certfile" => &mut server.cert_file,
            "keyfile" => &mut server.key_file,
            "tlsservername" => &mut server.tls_server_name,
            "rootpkipath" => &mut root_path,
            "intermediatepkipath" => &mut intermediate_path,
            "privatekeytype" => &mut key_type,
            "tlsskipverify" => {
                match flag(value) {
                    Some(on) => server.tls_skip_verify = on,
                    None => reading.problems.push(format!("'{key}' expected type 'bool'")),
                }
                continue;
            }
            "privatekeybits" => {
                match number(value) {
                    Some(bits) => key_bits = bits,
                    None => reading.problems.push(format!("'{key}' expected type 'int'")),
                }
                continue;
            }
            // Of the built-in provider's first configuration, which is written for both.
            "rotationperiod" => continue,
            name => {
                if !reading.reads(name, value) {
                    reading.unknown.push(key.clone());
                }
                continue;
            }
        };
        reading.text(key, value, |text| *place = text);
    }
    let settings = reading.finish(config)?;
    if server.token.is_empty() {
        return Err("must provide a Vault token".to_owned());
    }
    let root_path = mount(&root_path)
        .ok_or_else(|| "must provide a valid path to a root PKI backend".to_owned())?;
    let intermediate_path = mount(&intermediate_path)
        .ok_or_else(|| "must provide a valid path for the intermediate PKI backend".to_owned())?;
    if root_path == intermediate_path {
        return Err(
            "the paths of the root and of the intermediate PKI backend must differ".to_owned()
        );
    }
    if server.address.is_empty() {
        return Err("must provide the address of Vault".to_owned());
    }
    let (key_type, key_bits) = key(&key_type, key_bits)?;
    let vault = VaultSettings { server, root_path, intermediate_path, key_type, key_bits };
    Ok(ProviderSettings { kind: Kind::Vault(Box::new(vault)), ..settings })
}

/// A path as Vault lists it; `None` for what can be none.
fn mount(path: &str) -> Option<String> {
    let path = path.trim_matches('/');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    let parts = path.split('/');
    let is_plain = path.bytes().all(plain)
        && parts.clone().all(|part| !matches!(part, "" | "." | ".."))
        && !path.starts_with("sys/");
    is_plain.then(|| format!("{path}/"))
}

fn key(kind: &str, bits: Option<u32>) -> Result<(String, u32), String> {
    let kind = if kind.is_empty() { KEYS[0].0 } else { kind };
    let Some((name, sizes)) = KEYS.iter().find(|(name, _)| *name == kind) else {
        return Err("private key type must be either 'ec' or 'rsa'".to_owned());
    };
    let bits = bits.unwrap_or(sizes[0]);
    if !sizes.contains(&bits) {
        let [least, most] = sizes;
        let name = name.to_ascii_uppercase();
        return Err(format!("{name} key length must be {least} or {most} bits"));
    }
    Ok(((*name).to_owned(), bits))
}

fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Null => Some(false),
        Value::Bool(on) => Some(*on),
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" | "" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// A number, which may be written as a text; zero is none.
fn number(value: &Value) -> Option<Option<u32>> {
    let number = match value {
        Value::Null => 0,
        Value::String(text) => text.parse().ok()?,
        // Those that came through a file may be whole numbers with a point.
        Value::Number(number) => number.as_u64().or_else(|| {
            number.as_f64().filter(|n| n.fract() == 0.0 && *n >= 0.0).map(|n| n as u64)
        })?,
        _ => return None,
    };
    let number = u32::try_from(number).ok()?;
    Some(Some(number).filter(|number| *number != 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(config: Value) -> Result<ProviderSettings, String> {
        let Value::Object(config) = config else { panic!("not an object") };
        super::read(&config)
    }

    fn with(more: Value) -> Value {
        let mut all = json!({
            "Address": "https://v:8200", "Token": "s.1", "RootPKIPath": "root",
            "IntermediatePKIPath": "int/",
        });
        let (Some(all_map), Value::Object(more)) = (all.as_object_mut(), more) else { panic!() };
        all_map.extend(more);
        all
    }

    fn vault(settings: ProviderSettings) -> VaultSettings {
        let Kind::Vault(vault) = settings.kind else { panic!("not Vault's") };
        *vault
    }

    #[test]
    fn what_is_needed_is_told_in_the_known_texts() {
        for (config, text) in [
            (json!({}), "must provide a Vault token"),
            (json!({"Token": "x"}), "must provide a valid path to a root PKI backend"),
            (
                json!({"Token": "x", "RootPKIPath": "r"}),
                "must provide a valid path for the intermediate PKI backend",
            ),
            (
                json!({"Token": "x", "RootPKIPath": "r", "IntermediatePKIPath": "i"}),
                "must provide the address of Vault",
            ),
            (with(json!({"RootPKIPath": "/int"})), "must differ"),
            (with(json!({"RootPKIPath": "a b"})), "a valid path to a root"),
            (with(json!({"RootPKIPath": "a/../b"})), "a valid path to a root"),
            (with(json!({"RootPKIPath": "sys/x"})), "a valid path to a root"),
            (with(json!({"PrivateKeyType": "dsa"})), "either 'ec' or 'rsa'"),
            (with(json!({"PrivateKeyBits": 224})), "EC key length must be 256 or 384 bits"),
            (
                with(json!({"PrivateKeyType": "rsa", "PrivateKeyBits": 1024})),
                "RSA key length must be 2048 or 4096 bits",
            ),
            (with(json!({"PrivateKeyBits": []})), "'PrivateKeyBits' expected type 'int'"),
            (with(json!({"TLSSkipVerify": "perhaps"})), "'TLSSkipVerify' expected type 'bool'"),
            (with(json!({"CAFile": 7})), "'CAFile' expected type 'string'"),
            (with(json!({"AuthMethod": {}})), "'' has invalid keys: AuthMethod"),
            (with(json!({"LeafCertTTL": "1m"})), "'LeafCertTTL' must be between"),
        ] {
            let error = read(config.clone()).unwrap_err();
            assert!(error.contains(text), "{config}: {error}");
            assert!(!error.contains("s.1"), "{error}");
        }
    }

    #[test]
    fn everything_is_read() {
        let settings = read(with(json!({
            "CAFile": "a", "CAPath": "b", "CertFile": "c", "KeyFile": "d", "TLSServerName": "e",
            "TLSSkipVerify": true, "Namespace": "n", "PrivateKeyType": "rsa",
            "PrivateKeyBits": 4096, "LeafCertTTL": "2h", "CSRMaxPerSecond": 50.0,
            "RotationPeriod": "2160h", "IntermediateCertTTL": "1000h", "RootCertTTL": "2000h",
        })))
        .unwrap();
        let lives = (settings.leaf_ttl, settings.intermediate_ttl, settings.root_ttl);
        assert_eq!(lives, (7200, 3_600_000, 7_200_000));
        assert!(!settings.bring_a_root() && !format!("{settings:?}").contains("s.1"));
        let vault = vault(settings);
        assert_eq!((&*vault.root_path, &*vault.intermediate_path), ("root/", "int/"));
        assert_eq!((&*vault.key_type, vault.key_bits), ("rsa", 4096));
        let server = &vault.server;
        let files = [&server.ca_file, &server.ca_path, &server.cert_file, &server.key_file];
        assert_eq!(files, ["a", "b", "c", "d"]);
        assert_eq!((&*server.tls_server_name, &*server.namespace), ("e", "n"));
        assert!(server.tls_skip_verify);
    }

    #[test]
    fn keys_are_small_and_quick_unless_something_else_is_said() {
        let made = |config| {
            let vault = vault(read(with(config)).unwrap());
            (vault.key_type, vault.key_bits)
        };
        let ec = |bits| ("ec".to_owned(), bits);
        assert_eq!(made(json!({})), ec(256));
        assert_eq!(made(json!({"PrivateKeyBits": "384"})), ec(384));
        assert_eq!(made(json!({"PrivateKeyBits": 256.0})), ec(256));
        assert_eq!(made(json!({"PrivateKeyType": "rsa"})), ("rsa".to_owned(), 2048));
    }
}
