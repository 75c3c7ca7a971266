//! The directory of one host: held by a file lock as long as its process lives, and found again by the next.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::files;

/// Most hosts of one name at the same time.
const MOST_HOSTS: u32 = 64;
/// Former client ids that are remembered.
const CLIENT_IDS: usize = 16;
/// The largest file of client ids that is read.
const CLIENT_IDS_MAX: u64 = 1 << 20;
/// What a folder's name is made of; everything else is escaped.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');
/// Longest part of a folder's name; file systems take 255 bytes.
const FOLDER_MAX: usize = 200;

/// The host has no directory for its state.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The directory cannot be made, written or locked.
    #[error(
        "cannot keep the host's state in {}: {source}; a host needs a directory it may write and lock: name another with state-dir in gantry.toml",
        path.display()
    )]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Every directory of the name is taken.
    #[error(
        "{} and {instance}-2 to {instance}-{MOST_HOSTS} beside it are all held by running hosts, and each host needs one of its own: give this one another instance-name in gantry.toml, or stop a host",
        base.join(instance).display()
    )]
    AllHeld {
        /// The configured `state-dir`.
        base: PathBuf,
        /// The configured `instance-name`.
        instance: String,
    },
}

/// The directory of this host. No other host has it until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct StateDirectory {
    path: PathBuf,
    former_client_ids: Vec<String>,
    /// Locked; the system lets go of it with the process.
    lock: File,
}

impl Drop for StateDirectory {
    /// Closing the file is not enough: a process that is being started has a copy of it until it runs its own program.
    fn drop(&mut self) {
        let _closed_all_the_same = self.lock.unlock();
    }
}

impl StateDirectory {
    /// Takes `<base>/<instance>`, or, where another live host holds it, the first free one of `<base>/<instance>-2`,
    /// `-3` and so on. Blocks for some file operations.
    ///
    /// # Errors
    /// None of them can be had.
    pub(crate) fn take(base: &Path, instance: &str) -> Result<Self, StateError> {
        let base = std::path::absolute(base).unwrap_or_else(|_unknown| base.to_owned());
        for number in 1..=MOST_HOSTS {
            let path = match number {
                1 => base.join(instance),
                _ => base.join(format!("{instance}-{number}")),
            };
            match hold(&path) {
                Ok(Some(lock)) => return Ok(Self::held(path, lock)),
                Ok(None) => tracing::info!("{} is held by another host", path.display()),
                Err(source) => return Err(StateError::Unusable { path, source }),
            }
        }
        Err(StateError::AllHeld { base, instance: instance.to_owned() })
    }

    fn held(path: PathBuf, lock: File) -> Self {
        let former_client_ids = client_ids_or_none(&path);
        tracing::info!("the host's state is in {}", path.display());
        Self { path, former_client_ids, lock }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The client ids this directory's hosts had before this life, oldest first, 16 at most. A host that was killed
    /// could not release its broker locks; who comes back can do it in its name.
    pub(crate) fn former_client_ids(&self) -> Vec<String> {
        self.former_client_ids.clone()
    }

    /// Remembers a client id of this life for the next. Blocks for some file operations.
    ///
    /// # Errors
    /// It could not be written; what was remembered before is unchanged.
    pub(crate) fn record_client_id(&self, client_id: &str) -> io::Result<()> {
        let file = client_ids_file(&self.path);
        let mut ids = read_client_ids(&file)?;
        ids.retain(|id| id != client_id);
        ids.push(client_id.to_owned());
        ids.drain(..ids.len().saturating_sub(CLIENT_IDS));
        files::replace(&file, &serde_json::to_vec(&ids)?, None)
    }

    /// The file with a broadcasting group's offsets, unless the configuration names another.
    pub(crate) fn offsets_file(&self, group: &str) -> PathBuf {
        self.folder("offsets", group).join("offsets.json")
    }

    /// The folder with the versions of the plugin in the file `stem`. Nothing in it is a folder but for longer names.
    pub(super) fn versions_folder(&self, stem: &str) -> PathBuf {
        self.folder("plugins", stem)
    }

    fn folder(&self, kind: &str, name: &str) -> PathBuf {
        let mut path = self.path.join(kind);
        let name = utf8_percent_encode(name, ESCAPED).to_string();
        let mut rest = name.as_str();
        // A name too long for one folder continues in a folder below. Folders have no dots, so that no other one's
        // file can be in the way.
        while let Some((part, further)) = rest.split_at_checked(FOLDER_MAX) {
            path.push(part);
            rest = further;
        }
        path.join(rest)
    }
}

/// Where state goes when `state-dir` does not say: `gantry` under `$XDG_STATE_HOME` or `~/.local/state`, else
/// `gantry-state` in the working directory.
pub(crate) fn default_base(variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let place = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = place("XDG_STATE_HOME").or_else(|| Some(place("HOME")?.join(".local/state")));
    if let Some(state) = state {
        return state.join("gantry");
    }
    let here = PathBuf::from("gantry-state");
    tracing::warn!(
        "neither XDG_STATE_HOME nor HOME is set, so the host's state goes to {} in the working directory; name a place with state-dir in gantry.toml",
        here.display()
    );
    here
}

/// Makes the directory and locks it; none if another host has.
fn hold(path: &Path) -> io::Result<Option<File>> {
    make(path)?;
    let file = File::options().create(true).truncate(false).write(true).open(path.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(source),
    }
}

/// What is made belongs to its user alone.
fn make(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn client_ids_file(directory: &Path) -> PathBuf {
    directory.join("client-ids")
}

fn read_client_ids(file: &Path) -> io::Result<Vec<String>> {
    match files::read(file, CLIENT_IDS_MAX)? {
        Some(bytes) => Ok(serde_json::from_slice(&bytes)?),
        None => Ok(Vec::new()),
    }
}

/// A damaged file is kept aside; the locks of former lives are then left to expire.
fn client_ids_or_none(directory: &Path) -> Vec<String> {
    let file = client_ids_file(directory);
    read_client_ids(&file).unwrap_or_else(|fault| {
        let kept = match files::set_aside(&file) {
            Ok(aside) => format!("it is kept as {}", aside.display()),
            Err(error) => format!("it could not be kept aside: {error}"),
        };
        tracing::warn!(
            "{} cannot be used: {fault}; {kept}; broker locks of this host's former lives expire by themselves",
            file.display()
        );
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn name(directory: &StateDirectory) -> &str {
        directory.path().file_name().unwrap().to_str().unwrap()
    }

    #[test]
    fn each_live_host_has_a_directory_and_the_next_finds_it() {
        let base = tempfile::tempdir().unwrap();
        let take = || StateDirectory::take(base.path(), "h").unwrap();
        let (one, two, three) = (take(), take(), take());
        assert_eq!([name(&one), name(&two), name(&three)], ["h", "h-2", "h-3"]);
        drop(two);
        assert_eq!(name(&take()), "h-2");
        drop(one);
        assert_eq!(name(&take()), "h");
    }

    #[test]
    fn more_hosts_than_there_are_directories_are_refused() {
        let base = tempfile::tempdir().unwrap();
        let held: Vec<_> = (0..64).map(|_| StateDirectory::take(base.path(), "h").unwrap()).collect();
        assert_eq!(name(held.last().unwrap()), "h-64");
        let error = StateDirectory::take(base.path(), "h").unwrap_err().to_string();
        assert!(error.contains("h-2 to h-64") && error.contains("instance-name"), "{error}");
    }

    #[test]
    fn a_directory_that_was_let_go_is_free_though_another_process_has_a_copy_of_its_lock() {
        let base = tempfile::tempdir().unwrap();
        let held = StateDirectory::take(base.path(), "h").unwrap();
        let _copy = held.lock.try_clone().unwrap();
        drop(held);
        assert_eq!(name(&StateDirectory::take(base.path(), "h").unwrap()), "h");
    }

    #[test]
    fn a_place_that_cannot_be_used_is_named_with_the_fix() {
        let base = tempfile::tempdir().unwrap();
        let file = base.path().join("file");
        fs::write(&file, "").unwrap();
        let error = StateDirectory::take(&file, "h").unwrap_err().to_string();
        assert!(error.contains(&file.join("h").display().to_string()), "{error}");
        assert!(error.contains("state-dir in gantry.toml"), "{error}");
    }

    #[test]
    fn client_ids_of_former_lives_are_remembered_up_to_a_number() {
        let base = tempfile::tempdir().unwrap();
        let live = |id: &str| {
            let directory = StateDirectory::take(base.path(), "h").unwrap();
            directory.record_client_id(id).unwrap();
            directory.record_client_id(id).unwrap();
            directory.former_client_ids()
        };
        assert_eq!(live("a"), [""; 0]);
        assert_eq!(live("b"), ["a"]);
        assert_eq!(live("a"), ["a", "b"]);
        for life in 0..20 {
            live(&life.to_string());
        }
        let former = live("last");
        assert_eq!((former.len(), &*former[0], &*former[15]), (16, "4", "19"));
    }

    #[test]
    fn a_damaged_list_of_client_ids_is_kept_aside() {
        let base = tempfile::tempdir().unwrap();
        let file = base.path().join("h/client-ids");
        StateDirectory::take(base.path(), "h").unwrap().record_client_id("a").unwrap();
        let whole = fs::read(&file).unwrap();
        for length in 0..whole.len() {
            fs::write(&file, &whole[..length]).unwrap();
            let directory = StateDirectory::take(base.path(), "h").unwrap();
            assert_eq!(directory.former_client_ids(), [""; 0]);
            directory.record_client_id("b").unwrap();
            let aside = fs::read(files::beside(&file, &format!(".corrupt-{}", length + 1))).unwrap();
            assert_eq!(aside, whole[..length]);
        }
        assert_eq!(StateDirectory::take(base.path(), "h").unwrap().former_client_ids(), ["b"]);
    }

    #[test]
    fn each_group_has_an_offsets_file_whatever_its_name() {
        let base = tempfile::tempdir().unwrap();
        let directory = StateDirectory::take(base.path(), "h").unwrap();
        let relative = |group: &str| {
            let path = directory.offsets_file(group);
            path.strip_prefix(directory.path()).unwrap().display().to_string()
        };
        assert_eq!(relative("orders_a-1"), "offsets/orders_a-1/offsets.json");
        assert_eq!(relative("tenant%a|b"), "offsets/tenant%25a%7Cb/offsets.json");
        assert_eq!(relative("../é"), "offsets/%2E%2E%2F%C3%A9/offsets.json");
        for group in ["%".repeat(120), "%".repeat(66), "a".repeat(200)] {
            files::replace(&directory.offsets_file(&group), group.as_bytes(), None).unwrap();
        }
        assert_eq!(fs::read_to_string(directory.offsets_file(&"%".repeat(120))).unwrap(), "%".repeat(120));
    }

    #[test]
    fn the_default_place_is_the_users_state_directory() {
        let with = |set: &[(&str, &str)]| {
            let set: Vec<(String, OsString)> =
                set.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
            default_base(move |name| set.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone()))
        };
        assert_eq!(with(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")]), Path::new("/s/gantry"));
        assert_eq!(with(&[("XDG_STATE_HOME", ""), ("HOME", "/h")]), Path::new("/h/.local/state/gantry"));
        assert_eq!(with(&[("XDG_STATE_HOME", "s"), ("HOME", "/h")]), Path::new("/h/.local/state/gantry"));
        assert_eq!(with(&[("HOME", "")]), Path::new("gantry-state"));
    }

    const CHILD: &str = "GANTRY_TEST_HOLDS_A_DIRECTORY";

    /// This test again in a process of its own, which takes a directory under `base` and says which.
    fn holder(base: &Path) -> (Child, String) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "state::directory::tests::a_killed_hosts_directory_is_free", "--nocapture"])
            .env(CHILD, base)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let held = lines.filter_map(|line| line.split_once("holds ").map(|(_, name)| name.to_owned())).next();
        (child, held.unwrap())
    }

    #[test]
    fn a_killed_hosts_directory_is_free() {
        if let Some(base) = std::env::var_os(CHILD) {
            let held = StateDirectory::take(Path::new(&base), "h").unwrap();
            std::io::Write::write_all(&mut io::stdout(), format!("holds {}\n", name(&held)).as_bytes())
                .unwrap();
            std::thread::sleep(std::time::Duration::from_secs(60));
            return;
        }
        let base = tempfile::tempdir().unwrap();
        let (mut one, first) = holder(base.path());
        let (mut two, second) = holder(base.path());
        assert_eq!((&*first, &*second), ("h", "h-2"));
        one.kill().unwrap();
        one.wait().unwrap();
        assert_eq!(name(&StateDirectory::take(base.path(), "h").unwrap()), "h");
        two.kill().unwrap();
        two.wait().unwrap();
    }
}
