//! Apache's Go client: the Go driver, built.

use crate::driver::ClientProgram;
use crate::installation::{PrepareError, at, find, run, says};
use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash as _, Hasher as _};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the driver is made of; `go.mod` names the client's version.
const SOURCES: [&str; 3] =
    [include_str!("../../go/main.go"), include_str!("../../go/go.mod"), include_str!("../../go/go.sum")];

/// Apache's Go client, built into a program that tests drive.
#[derive(Debug, Clone)]
pub struct GoClient {
    directory: PathBuf,
}

impl GoClient {
    /// Builds the Go driver in `directory` (customarily `target/go`), or finds that it is built. The first time downloads the
    /// client's modules, about 20 MB. Processes that do this at once wait for each other.
    ///
    /// # Errors
    /// [`PrepareError::Missing`] without Go; otherwise the step that failed.
    pub fn prepare(directory: impl Into<PathBuf>) -> Result<Self, PrepareError> {
        let directory = directory.into();
        let directory = std::path::absolute(&directory).map_err(at(&directory))?;
        let client = Self { directory };
        fs::create_dir_all(client.logs()).map_err(at(&client.logs()))?;
        let lock = client.directory.join("lock");
        let held = File::create(&lock).and_then(|file| file.lock().map(|()| file)).map_err(at(&lock))?;
        client.build()?;
        drop(held);
        Ok(client)
    }

    /// The project's Go client, for a test. None, after a note on standard error, where Go is missing: the test is to be
    /// skipped then. With the environment variable [`GO_REQUIRED`](crate::GO_REQUIRED) set that is an error.
    ///
    /// # Errors
    /// See [`GoClient::prepare`].
    pub fn for_tests() -> Result<Option<Self>, PrepareError> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/go");
        match Self::prepare(directory) {
            Ok(client) => Ok(Some(client)),
            Err(missing @ PrepareError::Missing { .. }) if std::env::var_os(crate::GO_REQUIRED).is_none() => {
                let _ = writeln!(io::stderr(), "skipped, tests with Apache's Go client: {missing}");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn program(&self) -> PathBuf {
        self.directory.join("driver")
    }

    fn build(&self) -> Result<(), PrepareError> {
        let mut hasher = DefaultHasher::new();
        SOURCES.hash(&mut hasher);
        let stamp = self.directory.join("stamp");
        let content = format!("{:016x}", hasher.finish());
        if self.program().is_file() && says(&stamp, &content) {
            return Ok(());
        }
        find("go", "Any Go from 1.21 on will do: https://go.dev/dl")?;
        let built = self.directory.join("driver.new"); // the old one may be running
        let mut go = Command::new("go");
        go.args(["build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-o"])
            .arg(&built)
            .arg(".")
            .env("GOWORK", "off")
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../go"));
        run("building the Go driver", self.logs().join("go.log"), &mut go)?;
        fs::rename(&built, self.program()).map_err(at(&built))?;
        fs::write(&stamp, content).map_err(at(&stamp))
    }
}

impl ClientProgram for GoClient {
    fn logs(&self) -> PathBuf {
        self.directory.join("logs")
    }

    fn command(&self, home: &Path, offsets: &Path) -> Command {
        let mut driver = Command::new(self.program());
        driver.env("HOME", home).env("rocketmq.client.localOffsetStoreDir", offsets);
        driver
    }
}
