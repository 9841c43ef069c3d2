//! Tests of the parent module, on real files.

use std::collections::BTreeMap;

use lictor_types::definition::CheckKind;

use super::*;
use crate::testing::{check_definition, ttl};

fn folder() -> (tempfile::TempDir, Persistence) {
    let dir = tempfile::tempdir().unwrap();
    let persistence = Persistence::new(Some(dir.path().to_owned()));
    (dir, persistence)
}

fn service(id: &str) -> StoredService {
    let service = Service { id: id.into(), name: "web".into(), port: 80, ..Service::default() };
    StoredService { token: "secret".to_owned(), service, sidecar: false }
}

fn every_kind() -> Vec<CheckKind> {
    let args = vec!["a".to_owned(), "b c".to_owned()];
    let name = || "name".to_owned();
    vec![
        ttl(5),
        CheckKind::Http {
            url: "http://x/".to_owned(),
            method: "PUT".to_owned(),
            header: BTreeMap::from([("X".to_owned(), vec!["1".to_owned(), "2".to_owned()])]),
            body: "b".to_owned(),
            tls_skip_verify: true,
        },
        CheckKind::Tcp { address: "h:1".to_owned() },
        CheckKind::Udp { address: "h:1".to_owned() },
        CheckKind::Grpc { target: "h:1/s".to_owned(), use_tls: true, tls_skip_verify: true },
        CheckKind::H2Ping { target: "h:1".to_owned(), use_tls: false, tls_skip_verify: true },
        CheckKind::Docker { container: name(), shell: name(), args: args.clone() },
        CheckKind::Script { args },
        CheckKind::Alias { node: name(), service: name() },
    ]
}

#[test]
fn what_is_saved_is_found_again() {
    let (dir, persistence) = folder();
    assert_eq!(persistence.services(), []);
    persistence.save_service(&service("w1")).unwrap();
    persistence.save_service(&service("w2")).unwrap();
    // The name that the original gives the file of this ID.
    assert!(dir.path().join("services").join(md5::hex(b"w1")).is_file());
    let mut found = persistence.services();
    found.sort_by(|a, b| a.service.id.cmp(&b.service.id));
    assert_eq!(found, [service("w1"), service("w2")]);
    persistence.remove_service("w1").unwrap();
    persistence.remove_service("w1").unwrap();
    assert_eq!(persistence.services(), [service("w2")]);
}

#[test]
fn checks_of_every_kind_keep_how_they_are_run() {
    let (_dir, persistence) = folder();
    for (at, kind) in every_kind().into_iter().enumerate() {
        let mut definition = check_definition(&format!("c{at}"), kind);
        definition.interval = 7;
        definition.timeout = 8;
        definition.deregister_critical_service_after = 9;
        definition.token = "t".to_owned();
        let check = HealthCheck {
            check_id: definition.id.as_str().into(),
            name: definition.name.clone(),
            ..HealthCheck::default()
        };
        let stored = StoredCheck::new(check, Some(&definition), "t".to_owned());
        persistence.save_check(&stored).unwrap();
        let found = persistence.checks();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].definition(), Some(definition.clone()));
        persistence.remove_check(&definition.id).unwrap();
    }
}

#[test]
fn maintenance_marks_have_no_definition() {
    let (_dir, persistence) = folder();
    let check = HealthCheck { check_id: "_node_maintenance".into(), ..HealthCheck::default() };
    persistence.save_check(&StoredCheck::new(check, None, String::new())).unwrap();
    assert_eq!(persistence.checks()[0].definition(), None);
}

#[test]
fn files_of_the_original_are_read() {
    let (dir, persistence) = folder();
    let folder = dir.path().join("checks");
    fs::create_dir_all(&folder).unwrap();
    let text = r#"{"Check":{"Node":"n","CheckID":"c","Name":"c","Status":"critical","Notes":"",
        "Output":"","ServiceID":"","ServiceName":"","ServiceTags":null,"Definition":{},
        "CreateIndex":0,"ModifyIndex":0},"ChkType":{"CheckID":"c","Name":"c","Status":"",
        "Notes":"","ScriptArgs":null,"HTTP":"http://127.0.0.1:1","Header":null,"Method":"",
        "TCP":"","Interval":10000000000,"DockerContainerID":"","Shell":"","GRPC":"",
        "GRPCUseTLS":false,"TLSSkipVerify":false,"Timeout":0,"TTL":0,
        "DeregisterCriticalServiceAfter":0},"Token":""}"#;
    fs::write(folder.join(md5::hex(b"c")), text).unwrap();
    let found = persistence.checks();
    let definition = found[0].definition().unwrap();
    assert_eq!(definition.interval, 10_000_000_000);
    assert!(matches!(definition.kind, CheckKind::Http { url, .. } if url == "http://127.0.0.1:1"));
}

#[test]
fn damaged_files_are_set_aside() {
    let (dir, persistence) = folder();
    persistence.save_service(&service("good")).unwrap();
    let folder = dir.path().join("services");
    fs::write(folder.join(md5::hex(b"bad")), b"{\"Token\":").unwrap();
    fs::write(folder.join("left.tmp"), b"x").unwrap();
    assert_eq!(persistence.services(), [service("good")]);
    let aside = folder.join(md5::hex(b"bad")).with_extension("corrupt");
    assert_eq!(fs::read(aside).unwrap(), b"{\"Token\":");
    assert!(!folder.join("left.tmp").exists());
    // The second start has nothing to report.
    assert_eq!(persistence.services(), [service("good")]);
}

#[test]
fn states_and_proxies_are_kept_for_the_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, persistence) = folder();
    let state = StoredState {
        check_id: "c".to_owned(),
        output: "fine".to_owned(),
        status: Status::Passing,
        expires: 12,
    };
    persistence.save_state(&state).unwrap();
    assert_eq!(persistence.states(), [state]);
    assert!(persistence.checks().is_empty(), "the folder of states is not a check");
    let proxy = StoredProxy {
        proxy_token: "secret".to_owned(),
        target_service_id: "web".to_owned(),
        bind_port: 20000,
        definition: ManagedProxy::default(),
    };
    persistence.save_proxy(&proxy).unwrap();
    assert_eq!(persistence.proxies(), [proxy]);
    let file = dir.path().join("proxies").join(md5::hex(b"web"));
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    persistence.remove_check("c").unwrap();
    assert!(persistence.states().is_empty());
}

#[test]
fn without_a_folder_nothing_is_kept() {
    let persistence = Persistence::new(None);
    persistence.save_service(&service("w")).unwrap();
    assert!(persistence.services().is_empty());
    assert!(!persistence.is_on());
}

/// Whatever happens to a file: what is found again has its ID, or is set aside.
#[test]
fn no_damage_of_a_file_stops_anything_or_passes_for_something_else() {
    let (dir, persistence) = folder();
    persistence.save_service(&service("good")).unwrap();
    persistence.save_service(&service("bad")).unwrap();
    let file = dir.path().join("services").join(md5::hex(b"bad"));
    let whole = fs::read(&file).unwrap();
    let cut = (0..whole.len()).map(|length| whole[..length].to_vec());
    let turned = (0..whole.len()).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        bytes
    });
    let noise = [vec![0; whole.len()], vec![0xff; 3], b"null".to_vec(), b"{}".to_vec()];
    for bytes in cut.chain(turned).chain(noise) {
        fs::write(&file, &bytes).unwrap();
        let found = persistence.services();
        let ids: Vec<_> = found.iter().map(|stored| &*stored.service.id).collect();
        assert!(ids.contains(&"good") && ids.len() <= 2, "{ids:?}");
        let kept = ids.contains(&"bad");
        assert!(kept || !ids.iter().any(|id| *id != "good"), "{ids:?}");
        assert_eq!(kept, file.exists(), "what is not found again is set aside");
        assert_eq!(kept, fs::read(file.with_extension("corrupt")).ok().as_ref() != Some(&bytes));
    }
}
