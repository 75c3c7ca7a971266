//! `gantry plugin dev`: builds at every change of the sources, for a running host: into its plugins directory, or to its
//! admin API.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use gantry_build::{Built, Plugin, Toolchains};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use super::build::{once, told};
use crate::commands::admin::{AdminArgs, segment};

/// Quiet that ends a change: editors write a file in several steps.
const SETTLED: Duration = Duration::from_millis(150);
/// Sources are looked at so often even where the system tells of no change.
const LOOK: Duration = Duration::from_secs(2);

/// What to watch.
#[derive(Debug, Args)]
#[command(
    after_help = "A build that fails changes nothing: the version before serves on. Ctrl-C ends it.\n\n\
    Example:\n  gantry run --plugins ./plugins &\n  gantry plugin dev orders --plugins ./plugins"
)]
pub(crate) struct DevArgs {
    /// The plugin's directory, with its gantry-plugin.toml.
    #[arg(default_value = ".", value_name = "DIR")]
    directory: PathBuf,
    /// The plugins directory of the running host, as in `gantry run --plugins`.
    #[arg(long, value_name = "DIR", required_unless_present = "admin", conflicts_with = "admin")]
    plugins: Option<PathBuf>,
    /// The admin API of the running host, which may be on another machine: each new version is uploaded.
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// The token it asks for, if it does ([admin] token of its configuration).
    #[arg(
        long,
        value_name = "TOKEN",
        env = "GANTRY_ADMIN_TOKEN",
        hide_env_values = true,
        requires = "admin"
    )]
    token: Option<String>,
}

/// Where a version that is built goes.
enum Target {
    /// The plugins directory of a host.
    Directory(PathBuf),
    /// A host's admin API.
    Host(AdminArgs),
}

impl DevArgs {
    fn target(&self) -> anyhow::Result<Target> {
        if let Some(admin) = &self.admin {
            return Ok(Target::Host(AdminArgs { admin: admin.clone(), token: self.token.clone() }));
        }
        let given = self.plugins.as_deref().unwrap_or(Path::new("plugins"));
        let directory = given.canonicalize().with_context(|| {
            format!("there is no plugins directory {}; give the one the host runs with", given.display())
        })?;
        Ok(Target::Directory(directory))
    }
}

pub(crate) fn dev(args: &DevArgs) -> anyhow::Result<ExitCode> {
    let toolchains = Toolchains::of_user()?;
    let target = args.target()?;
    let mut plugin = Plugin::open(&args.directory)?;
    // Room for one notice: more would say the same, and are dropped.
    let (sender, changes) = sync_channel(1);
    let tell = move |_| sender.try_send(()).unwrap_or_default();
    let mut watcher =
        RecommendedWatcher::new(tell, notify::Config::default()).context("cannot watch files")?;
    let watched = watcher.watch(&plugin.directory, RecursiveMode::Recursive);
    watched.with_context(|| format!("cannot watch {}", plugin.directory.display()))?;
    say!("watching {}; Ctrl-C ends it", plugin.directory.display());
    let mut last = None;
    loop {
        // A manifest that is being edited may be no manifest just now.
        match Plugin::open(&args.directory) {
            Ok(fresh) => plugin = fresh,
            Err(error) => eprintln!("{error}; the version before serves on"),
        }
        let now = plugin.fingerprint()?;
        if last.as_ref() != Some(&now) {
            build(&plugin, &target, &toolchains);
            last = Some(now);
        }
        wait(&changes)?;
    }
}

/// Builds for the host and says what came of it.
fn build(plugin: &Plugin, target: &Target, toolchains: &Toolchains) {
    let began = Instant::now();
    match delivered(plugin, target, toolchains) {
        Ok(built) => say!("{}; the host takes it over", told(&built, began)),
        Err(error) => eprintln!("{error:#}\nthe version before serves on"),
    }
}

fn delivered(plugin: &Plugin, target: &Target, toolchains: &Toolchains) -> anyhow::Result<Built> {
    let name = &plugin.manifest.name;
    match target {
        Target::Directory(plugins) => {
            Ok(once(plugin, Some(&plugins.join(name).with_extension("wasm")), toolchains)?)
        }
        Target::Host(host) => {
            let built = once(plugin, None, toolchains)?;
            let component = std::fs::read(&built.component)
                .with_context(|| format!("cannot read {}", built.component.display()))?;
            host.put(&format!("/plugins/{}", segment(name)), &component)?;
            Ok(built)
        }
    }
}

/// Waits for a change and for it to be over, or until it is time to look anyway.
fn wait(changes: &Receiver<()>) -> anyhow::Result<()> {
    match changes.recv_timeout(LOOK) {
        Ok(()) => {
            let until = Instant::now() + LOOK;
            while changes.recv_timeout(SETTLED).is_ok() && Instant::now() < until {}
            Ok(())
        }
        Err(RecvTimeoutError::Timeout) => Ok(()),
        Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the file watcher has ended"),
    }
}
