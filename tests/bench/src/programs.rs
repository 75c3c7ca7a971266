//! The programs that are measured, built where they are not yet; what cannot be had is left out, with a note.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use gantry_apache::Installation;

use crate::contestant::Contestant;

/// What was prepared.
#[derive(Debug)]
pub(crate) struct Programs {
    /// `gantry`, of the same build as this program.
    pub(crate) gantry: PathBuf,
    /// This program.
    pub(crate) own: PathBuf,
    /// RocketMQ's jars, where Java and Maven are.
    pub(crate) apache: Option<Installation>,
    /// Component of each contestant that runs one.
    pub(crate) components: BTreeMap<Contestant, PathBuf>,
    built: PathBuf,
    java: PathBuf,
    go: PathBuf,
    rust: PathBuf,
    /// Who takes part.
    pub(crate) contestants: Vec<Contestant>,
    /// Why somebody does not.
    pub(crate) notes: Vec<String>,
}

impl Programs {
    /// Builds what these contestants need, below `workspace`; with `apache`, Apache RocketMQ's broker as well.
    pub(crate) fn prepare(
        wanted: &[Contestant],
        apache: bool,
        components: &Path,
        workspace: &Path,
    ) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("this program's file cannot be found")?;
        let gantry = own.with_file_name("gantry");
        let mut programs = Self {
            gantry,
            own,
            apache: None,
            components: BTreeMap::new(),
            built: workspace.join("components"),
            java: workspace.join("java"),
            go: workspace.join("go/drain"),
            rust: workspace.join("peer-rust/release/peer-rust"),
            contestants: Vec::new(),
            notes: Vec::new(),
        };
        std::fs::create_dir_all(&programs.built)?;
        if apache || wanted.contains(&Contestant::JavaClient) {
            match Installation::prepare(project("target/rocketmq")) {
                Ok(installation) => programs.apache = Some(installation),
                Err(error) => programs.note("Apache RocketMQ", &error.into()),
            }
        }
        for contestant in wanted {
            match programs.build(*contestant, components) {
                Ok(()) => programs.contestants.push(*contestant),
                Err(error) => programs.note(&contestant.to_string(), &error),
            }
        }
        Ok(programs)
    }

    fn note(&mut self, who: &str, why: &anyhow::Error) {
        self.notes.push(format!("{who} takes no part: {why:#}"));
    }

    fn build(&mut self, contestant: Contestant, components: &Path) -> anyhow::Result<()> {
        if let Some(name) = contestant.component() {
            anyhow::ensure!(
                self.gantry.is_file(),
                "{} is missing; run `cargo xtask bench`",
                self.gantry.display()
            );
            let mut file = components.join(name).with_extension("wasm");
            if let Some(source) = listener(contestant) {
                file = self.built.join(name).with_extension("wasm");
                let mut build = Command::new(&self.gantry);
                build.args(["plugin", "build"]).arg(project(source)).arg("--output").arg(&file);
                quietly(&mut build)?;
            }
            anyhow::ensure!(file.is_file(), "{} is missing; run `cargo xtask guests`", file.display());
            self.components.insert(contestant, file);
        }
        match contestant {
            Contestant::JavaClient => self.build_java(),
            Contestant::GoClient => self.build_go(),
            Contestant::RustClient => self.build_rust(),
            _ => Ok(()),
        }
    }

    fn build_java(&self) -> anyhow::Result<()> {
        let apache = self.apache.as_ref().context("it needs Apache RocketMQ's jars")?;
        std::fs::create_dir_all(&self.java)?;
        let mut javac = Command::new("javac");
        javac.args(["-nowarn", "--release", "11", "-proc:none", "-cp"]).arg(apache.class_path());
        quietly(javac.arg("-d").arg(&self.java).arg(project("tests/java/Drain.java")))
    }

    fn build_go(&self) -> anyhow::Result<()> {
        let mut go = Command::new("go");
        go.args(["build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-o"])
            .arg(&self.go)
            .arg("./drain");
        quietly(go.env("GOWORK", "off").current_dir(project("tests/go")))
    }

    fn build_rust(&self) -> anyhow::Result<()> {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--release", "--locked", "--manifest-path"]);
        cargo.arg(project("tests/bench/peer-rust/Cargo.toml"));
        let target = self.rust.ancestors().nth(2).context("a program without a directory")?;
        quietly(cargo.arg("--target-dir").arg(target))
    }

    /// The program of a peer, to be told its settings as `name=value`.
    pub(crate) fn peer(&self, contestant: Contestant) -> Option<Command> {
        match contestant {
            Contestant::JavaClient => {
                let mut java = Command::new("java");
                let classes = self.apache.as_ref()?.class_path();
                java.arg("-cp").arg(format!("{}:{classes}", self.java.display())).arg("Drain");
                Some(java)
            }
            Contestant::GoClient => Some(Command::new(&self.go)),
            Contestant::RustClient => Some(Command::new(&self.rust)),
            _ => None,
        }
    }
}

/// The directory of a listener in another language.
const fn listener(contestant: Contestant) -> Option<&'static str> {
    match contestant {
        Contestant::C => Some("tests/bench/listeners/c"),
        Contestant::Go => Some("tests/bench/listeners/go"),
        Contestant::Js => Some("tests/bench/listeners/js"),
        Contestant::Python => Some("tests/bench/listeners/python"),
        _ => None,
    }
}

/// A path of the project.
pub(crate) fn project(below: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.unwrap_or_else(|| Path::new(".")).join(below)
}

fn quietly(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot start `{program}`"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{program}` failed ({}): {}", output.status, said.trim());
    }
    Ok(())
}
