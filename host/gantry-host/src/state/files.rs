//! Small files that are whole at every moment, and damaged ones kept aside.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Most copies of one damaged file that are kept; a further one takes the place of the last.
const KEPT_ASIDE: u32 = 16;

/// `path` with `suffix` after its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Reads a file whole; none if there is none.
///
/// # Errors
/// It cannot be read, or is longer than `max` bytes.
pub(super) fn read(path: &Path, max: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    file.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= max) {
        return Ok(Some(bytes));
    }
    Err(io::Error::other(format!("it is longer than {max} bytes")))
}

/// Puts `bytes` in the place of `path`, and what was there, if `backup` is given, in that place. Whatever happens
/// meanwhile, one of the two is whole afterwards. Makes the directory.
///
/// # Errors
/// The old content is untouched, except that it may have become the backup.
pub(super) fn replace(path: &Path, bytes: &[u8], backup: Option<&Path>) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let new = beside(path, ".tmp");
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    match backup.map(|backup| fs::rename(path, backup)) {
        Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => fs::rename(&new, path)?,
    }
    sync_directory(directory)
}

/// Makes renames in a directory outlast a power failure.
#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_directory: &Path) -> io::Result<()> {
    Ok(())
}

/// Gives a damaged file another name, `….corrupt-1` and so on, and returns it.
///
/// # Errors
/// It could not be renamed.
pub(super) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let mut names = (1..=KEPT_ASIDE).map(|number| beside(path, &format!(".corrupt-{number}")));
    let free = names.find(|name| !name.exists());
    let aside = free.unwrap_or_else(|| beside(path, &format!(".corrupt-{KEPT_ASIDE}")));
    fs::rename(path, &aside)?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_the_backup() {
        let directory = tempfile::tempdir().unwrap();
        let (path, backup) = (directory.path().join("deep/er/file"), directory.path().join("deep/er/backup"));
        replace(&path, b"1", Some(&backup)).unwrap();
        assert!(!backup.exists());
        replace(&path, b"2", Some(&backup)).unwrap();
        replace(&path, b"3", None).unwrap();
        assert_eq!((fs::read(&path).unwrap(), fs::read(&backup).unwrap()), (b"3".to_vec(), b"1".to_vec()));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 2, "nothing else is left");
    }

    #[test]
    fn what_cannot_be_written_leaves_the_old_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        replace(&path, b"1", None).unwrap();
        fs::create_dir(beside(&path, ".tmp")).unwrap();
        assert!(replace(&path, b"2", Some(&beside(&path, ".bak"))).is_err());
        assert_eq!(read(&path, 9).unwrap(), Some(b"1".to_vec()));
    }

    #[test]
    fn damaged_files_are_kept_up_to_a_number() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for number in 1..=20 {
            fs::write(&path, format!("{number}")).unwrap();
            set_aside(&path).unwrap();
        }
        let kept = |number: u32| fs::read_to_string(beside(&path, &format!(".corrupt-{number}"))).unwrap();
        assert_eq!((kept(1), kept(2), kept(16)), ("1".into(), "2".into(), "20".into()));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 16);
    }

    #[test]
    fn a_file_that_is_too_long_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        assert_eq!(read(&path, 3).unwrap(), None);
        fs::write(&path, "123").unwrap();
        assert_eq!(read(&path, 3).unwrap(), Some(b"123".to_vec()));
        fs::write(&path, "1234").unwrap();
        assert_eq!(read(&path, 3).unwrap_err().to_string(), "it is longer than 3 bytes");
    }
}
