//! Apache RocketMQ: one cluster for a whole test process, open or guarded, or one to be killed.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use gantry_apache::{Cluster, Installation, Options, PLAIN_ACL_VERSION};
use gantry_host::config::{AclSettings, ClientSettings, Secret, TlsFiles};

use crate::component::project;
use crate::scenario::installation;

/// The process's cluster, started by whoever asks first. Its servers end with the process.
pub(crate) fn shared() -> Option<&'static Cluster> {
    static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
    SHARED.get_or_init(|| start(&directory())).as_ref()
}

/// The process's cluster with access control, started by whoever asks first.
pub(crate) fn guarded() -> Option<&'static Cluster> {
    static GUARDED: OnceLock<Option<Cluster>> = OnceLock::new();
    GUARDED.get_or_init(|| start_guarded(&directory().join("guarded"))).as_ref()
}

/// A cluster with its storage in this directory.
pub(crate) fn start(directory: &Path) -> Option<Cluster> {
    let installation = installation()?;
    Some(Cluster::start(&installation, Options::new(directory)).unwrap())
}

/// A cluster with its storage in this directory that serves one account only: `admin`, with the secret `admin-secret`. None
/// where Apache RocketMQ is to be skipped.
///
/// # Panics
/// When it does not start.
pub fn start_guarded(directory: &Path) -> Option<Cluster> {
    const AUTH: &str = "org.apache.rocketmq.auth";
    const ACCOUNT: &str = r#"{"accessKey":"admin","secretKey":"admin-secret"}"#;
    let installation = installation()?;
    let mut options = Options::new(directory)
        .broker_setting("initAuthenticationUser", r#"{"username":"admin","password":"admin-secret"}"#)
        .broker_setting("innerClientAuthenticationCredentials", ACCOUNT);
    for (of, class) in [("authentication", "Authentication"), ("authorization", "Authorization")] {
        let provider = |kind: &str| format!("{AUTH}.{of}.provider.{kind}{class}");
        options = options
            .broker_setting(format!("{of}Enabled"), "true")
            .broker_setting(format!("{of}Provider"), provider("Default") + "Provider")
            .broker_setting(format!("{of}MetadataProvider"), provider("Local") + "MetadataProvider");
    }
    Some(Cluster::start(&installation, options).unwrap())
}

/// A cluster of a release with the access control of RocketMQ 4, which serves two accounts: `administrator`, with the secret
/// `admin-secret`, and `consumer`, with `consumer-secret`, which may consume `secured` in `secured-group` and send nothing.
/// None where Apache RocketMQ is to be skipped.
///
/// # Panics
/// When it does not start.
pub fn start_plainly_guarded(directory: &Path) -> Option<Cluster> {
    const ACCOUNTS: &str = "\
accounts:
  - accessKey: administrator
    secretKey: admin-secret
    admin: true
  - accessKey: consumer
    secretKey: consumer-secret
    admin: false
    defaultTopicPerm: DENY
    defaultGroupPerm: DENY
    topicPerms:
      - secured=SUB
    groupPerms:
      - secured-group=SUB
";
    let installation = Installation::release_for_tests(PLAIN_ACL_VERSION).unwrap()?;
    Some(Cluster::start(&installation, Options::new(directory).plain_acl(ACCOUNTS)).unwrap())
}

/// TLS, and the account `admin` with this secret, if any.
pub fn guarded_access(secret: Option<&str>) -> ClientSettings {
    let account = |secret: &str| {
        let (access_key, secret_key) = (Some("admin".into()), Some(Secret(secret.into())));
        AclSettings { access_key, secret_key, ..AclSettings::default() }
    };
    ClientSettings {
        // The certificate Apache's servers make for themselves names nobody.
        tls: Some(TlsFiles { insecure: true, ..TlsFiles::default() }),
        acl: secret.map(account).unwrap_or_default(),
        ..ClientSettings::default()
    }
}

/// This process's directory. Those of processes that are no more are removed: nobody else does.
fn directory() -> PathBuf {
    let all = project().join("target/suite/apache");
    for entry in std::fs::read_dir(&all).into_iter().flatten().flatten() {
        if !Path::new("/proc").join(entry.file_name()).exists() {
            let _gone_already = std::fs::remove_dir_all(entry.path());
        }
    }
    all.join(std::process::id().to_string())
}
