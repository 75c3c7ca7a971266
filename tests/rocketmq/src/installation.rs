//! RocketMQ's jars, and the Java driver compiled against them.

use crate::VERSION;
use crate::driver::ClientProgram;
use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash as _, Hasher as _};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The Java program that is a RocketMQ client for tests.
const DRIVER: &str = include_str!("../../java/GantryDriver.java");

/// The parts of RocketMQ that are needed; Maven adds what these need.
const ARTIFACTS: [&str; 4] = ["namesrv", "broker", "client", "tools"];

/// Maven's goal, with its version pinned.
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies";

/// How many clusters' logs are kept.
const LOGS_KEPT: usize = 30;

/// RocketMQ ready to run: a directory with its jars, the compiled driver, and room for logs.
#[derive(Debug, Clone)]
pub struct Installation {
    directory: PathBuf,
    version: &'static str,
}

/// Why RocketMQ, or a client of it, cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A program is not there. The tests that need it may be skipped then, unless they are not optional.
    #[error("`{program}` is not on the path, and the tests need it. {remedy}")]
    Missing {
        /// The program.
        program: &'static str,
        /// How to get it.
        remedy: &'static str,
    },
    /// A step failed.
    #[error("{step} failed; its output is in {}, and says: {last}", log.display())]
    Failed {
        /// What was being done.
        step: &'static str,
        /// Where its output went.
        log: PathBuf,
        /// The first error in it.
        last: String,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Installation {
    /// Makes RocketMQ ready in `directory` (customarily `target/rocketmq`), or finds that it is. The first time downloads
    /// about 95 MB; afterwards it is a matter of milliseconds. Processes that do this at once wait for each other.
    ///
    /// # Errors
    /// [`PrepareError::Missing`] without Java or Maven; otherwise the step that failed.
    pub fn prepare(directory: impl Into<PathBuf>) -> Result<Self, PrepareError> {
        Self::prepare_release(VERSION, directory.into())
    }

    fn prepare_release(version: &'static str, directory: PathBuf) -> Result<Self, PrepareError> {
        let directory = std::path::absolute(&directory).map_err(at(&directory))?; // servers run elsewhere
        let installation = Self { directory, version };
        installation.make_directory(&installation.logs())?;
        let lock = installation.directory.join("lock");
        let held = File::create(&lock).and_then(|file| file.lock().map(|()| file)).map_err(at(&lock))?;
        find("java", JAVA)?;
        installation.prepare_jars()?;
        if version == VERSION {
            installation.prepare_driver()?;
        }
        drop(held);
        Ok(installation)
    }

    /// The project's installation, for a test. None, after a note on standard error, where Java or Maven are missing: the test
    /// is to be skipped then. With the environment variable [`REQUIRED`](crate::REQUIRED) set, as in CI, that is an
    /// error.
    ///
    /// # Errors
    /// See [`Installation::prepare`].
    pub fn for_tests() -> Result<Option<Self>, PrepareError> {
        Self::release_for_tests(VERSION)
    }

    /// The same of another release, without the Java driver.
    ///
    /// # Errors
    /// See [`Installation::prepare`].
    pub fn release_for_tests(version: &'static str) -> Result<Option<Self>, PrepareError> {
        let name = if version == VERSION { "rocketmq".to_owned() } else { format!("rocketmq-{version}") };
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target").join(name);
        match Self::prepare_release(version, directory) {
            Ok(installation) => Ok(Some(installation)),
            Err(missing @ PrepareError::Missing { .. }) if std::env::var_os(crate::REQUIRED).is_none() => {
                let _ = writeln!(io::stderr(), "skipped, tests against Apache RocketMQ: {missing}");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Where every log is: Maven's, the compiler's, and one directory per cluster.
    pub fn logs(&self) -> PathBuf {
        self.directory.join("logs")
    }

    /// Keeps the logs of the latest clusters only. What cannot be removed is left: logs are no reason to fail.
    pub(crate) fn forget_old_logs(&self) {
        let entries = fs::read_dir(self.logs()).into_iter().flatten().flatten();
        let clusters = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("cluster-"));
        let age = |entry: &fs::DirEntry| entry.metadata().and_then(|about| about.modified()).ok();
        let mut clusters: Vec<_> = clusters.map(|entry| (age(&entry), entry.path())).collect();
        clusters.sort();
        for (_, path) in clusters.iter().rev().skip(LOGS_KEPT) {
            let _ = fs::remove_dir_all(path);
        }
    }

    /// The whole class path: jars and driver. For other programs in Java.
    pub fn class_path(&self) -> String {
        format!("{}:{}/*", self.driver().display(), self.jars().display())
    }

    fn jars(&self) -> PathBuf {
        self.directory.join("lib")
    }

    fn driver(&self) -> PathBuf {
        self.directory.join("driver")
    }

    fn prepare_jars(&self) -> Result<(), PrepareError> {
        let pom = pom(self.version);
        let stamp = self.directory.join("pom.xml");
        if self.jars().is_dir() && says(&stamp, &pom) {
            return Ok(());
        }
        find("mvn", "Debian and Ubuntu: `apt-get install maven`; elsewhere https://maven.apache.org")?;
        let work = self.directory.join("fetch");
        empty(&work)?;
        let file = work.join("pom.xml");
        fs::write(&file, &pom).map_err(at(&file))?;
        let mut maven = Command::new("mvn");
        maven
            .args(["-B", "-ntp", COPY, "-DoutputDirectory=lib", "-DincludeScope=runtime"])
            .current_dir(&work);
        self.step("fetching the jars of RocketMQ with Maven", "maven.log", &mut maven)?;
        replace(&work.join("lib"), &self.jars())?;
        replace(&file, &stamp)
    }

    fn prepare_driver(&self) -> Result<(), PrepareError> {
        let mut hasher = DefaultHasher::new();
        (VERSION, DRIVER).hash(&mut hasher);
        let stamp = self.driver().join("stamp");
        let content = format!("{:016x}", hasher.finish());
        if says(&stamp, &content) {
            return Ok(());
        }
        find("javac", JAVA)?;
        empty(&self.driver())?;
        let source = self.driver().join("GantryDriver.java");
        fs::write(&source, DRIVER).map_err(at(&source))?;
        let mut javac = Command::new("javac");
        javac
            .args(["-nowarn", "--release", "11", "-proc:none", "-cp"])
            .arg(format!("{}/*", self.jars().display()));
        javac.arg("-d").arg(self.driver()).arg(&source);
        self.step("compiling the Java driver", "javac.log", &mut javac)?;
        fs::write(&stamp, content).map_err(at(&stamp))
    }

    fn step(&self, step: &'static str, log: &str, command: &mut Command) -> Result<(), PrepareError> {
        run(step, self.logs().join(log), command)
    }

    fn make_directory(&self, directory: &Path) -> Result<(), PrepareError> {
        fs::create_dir_all(directory).map_err(at(directory))
    }
}

impl ClientProgram for Installation {
    fn logs(&self) -> PathBuf {
        Installation::logs(self)
    }

    fn command(&self, home: &Path, offsets: &Path) -> Command {
        let mut java = Command::new("java");
        java.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Djava.net.preferIPv4Stack=true"])
            .arg(format!("-Duser.home={}", home.display()))
            .arg(format!("-Drocketmq.client.localOffsetStoreDir={}", offsets.display()))
            .args(["-cp", &self.class_path(), "GantryDriver"]);
        java
    }
}

/// Runs a step to its end, with its output in `log`.
pub(crate) fn run(step: &'static str, log: PathBuf, command: &mut Command) -> Result<(), PrepareError> {
    let file = File::create(&log).map_err(at(&log))?;
    let again = file.try_clone().map_err(at(&log))?;
    let status = command.stdin(Stdio::null()).stdout(file).stderr(again).status().map_err(at(&log))?;
    if status.success() {
        return Ok(());
    }
    let last = first_error(&fs::read_to_string(&log).unwrap_or_default());
    Err(PrepareError::Failed { step, log, last })
}

const JAVA: &str = "Debian and Ubuntu: `apt-get install default-jdk-headless`; any JDK from 11 on will do";

pub(crate) fn find(program: &'static str, remedy: &'static str) -> Result<(), PrepareError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|directory| directory.join(program).is_file());
    if found { Ok(()) } else { Err(PrepareError::Missing { program, remedy }) }
}

pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> PrepareError {
    let path = path.to_path_buf();
    move |source| PrepareError::Io { path, source }
}

pub(crate) fn says(file: &Path, content: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|present| present == content)
}

fn empty(directory: &Path) -> Result<(), PrepareError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(directory)(error)),
        _ => {}
    }
    fs::create_dir_all(directory).map_err(at(directory))
}

fn replace(from: &Path, to: &Path) -> Result<(), PrepareError> {
    if to.is_dir() {
        fs::remove_dir_all(to).map_err(at(to))?;
    }
    fs::rename(from, to).map_err(at(to))
}

/// The first line that looks like an error, as Maven and javac write them.
fn first_error(log: &str) -> String {
    let error = log.lines().find(|line| line.contains("ERROR") || line.contains("error:"));
    error.or_else(|| log.lines().next_back()).unwrap_or_default().trim().to_owned()
}

fn pom(version: &str) -> String {
    let dependency = |artifact: &&str| {
        format!(
            "    <dependency><groupId>org.apache.rocketmq</groupId><artifactId>rocketmq-{artifact}</artifactId>\
             <version>{version}</version></dependency>\n"
        )
    };
    let dependencies: String = ARTIFACTS.iter().map(dependency).collect();
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n  <modelVersion>4.0.0</modelVersion>\n  \
         <groupId>gantry</groupId>\n  <artifactId>rocketmq</artifactId>\n  <version>1</version>\n  \
         <dependencies>\n{dependencies}  </dependencies>\n</project>\n"
    )
}
