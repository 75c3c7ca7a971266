//! The part of WASI 0.2 that is linked, and how it is kept inert.
//!
//! Toolchains import WASI whether a program uses it or not, so refusing it outright would refuse most compilers'
//! output. What is linked for everyone hands out nothing: no arguments or environment, closed standard input, output
//! into the log, no preopened directory (so `wasi:filesystem` has nothing to open), and a hash seed that is the same
//! for the life of the engine. `wasi:clocks` and `wasi:random` are linked too, but a component that imports a
//! *function* of theirs is only accepted with the grant (see `imports`). `wasi:sockets` is linked for components that
//! mention its types; one that imports a function of it is refused. `wasi:http` and the services that configuration
//! grants are in `granted`. The rest of WASI is not offered.
//!
//! Waiting happens in the host, where a deadline by epochs does not reach: `wasi:io` therefore ends at the deadline of the
//! call by itself (see `bounded_io`).

use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::{
    cli::{WasiCli, WasiCliView as _},
    clocks::{WasiClocks, WasiClocksView as _},
    filesystem::{WasiFilesystem, WasiFilesystemView as _},
    p2::bindings::{self, cli, clocks, filesystem, random, sockets, sync},
    random::{WasiRandom, WasiRandomView as _},
    sockets::{WasiSockets, WasiSocketsView as _},
};

use crate::{bounded_io::BoundedIo, guest::GuestState};

type L = Linker<GuestState>;

/// Links everything described above.
pub(crate) fn add_to_linker(linker: &mut L) -> wasmtime::Result<()> {
    add_io(linker)?;
    add_cli(linker)?;
    filesystem::preopens::add_to_linker::<_, WasiFilesystem>(linker, GuestState::filesystem)?;
    sync::filesystem::types::add_to_linker::<_, WasiFilesystem>(linker, GuestState::filesystem)?;
    clocks::wall_clock::add_to_linker::<_, WasiClocks>(linker, GuestState::clocks)?;
    clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(linker, GuestState::clocks)?;
    random::random::add_to_linker::<_, WasiRandom>(linker, GuestState::random)?;
    random::insecure::add_to_linker::<_, WasiRandom>(linker, GuestState::random)?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(linker, GuestState::random)?;
    add_socket_types(linker)
}

fn add_io(linker: &mut L) -> wasmtime::Result<()> {
    bindings::io::error::add_to_linker::<_, Table>(linker, GuestState::table)?;
    sync::io::streams::add_to_linker::<_, BoundedIo<'static>>(linker, GuestState::bounded_io)?;
    sync::io::poll::add_to_linker::<_, BoundedIo<'static>>(linker, GuestState::bounded_io)
}

fn add_cli(linker: &mut L) -> wasmtime::Result<()> {
    cli::exit::add_to_linker::<_, WasiCli>(linker, GuestState::cli)?;
    cli::environment::add_to_linker::<_, WasiCli>(linker, GuestState::cli)?;
    cli::stdin::add_to_linker::<_, WasiCli>(linker, GuestState::cli)?;
    cli::stdout::add_to_linker::<_, WasiCli>(linker, GuestState::cli)?;
    cli::stderr::add_to_linker::<_, WasiCli>(linker, GuestState::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(linker, GuestState::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(linker, GuestState::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, GuestState::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, GuestState::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, GuestState::cli)
}

fn add_socket_types(linker: &mut L) -> wasmtime::Result<()> {
    sockets::tcp_create_socket::add_to_linker::<_, WasiSockets>(linker, GuestState::sockets)?;
    sockets::instance_network::add_to_linker::<_, WasiSockets>(linker, GuestState::sockets)?;
    sockets::ip_name_lookup::add_to_linker::<_, WasiSockets>(linker, GuestState::sockets)?;
    let options = sync::sockets::network::LinkOptions::default();
    sockets::network::add_to_linker::<_, WasiSockets>(linker, &options, GuestState::sockets)?;
    sync::sockets::tcp::add_to_linker::<_, WasiSockets>(linker, GuestState::sockets)?;
    sync::sockets::udp::add_to_linker::<_, WasiSockets>(linker, GuestState::sockets)?;
    sync::sockets::udp_create_socket::add_to_linker::<_, WasiSockets>(linker, GuestState::sockets)
}

struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}
