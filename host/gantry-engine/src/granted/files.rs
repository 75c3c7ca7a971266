//! `wasi:filesystem` without what could hold a guest's thread for ever: of a granted directory only files and directories
//! are opened, no pipes, sockets or devices.

use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::{
    filesystem::{WasiFilesystemCtxView, WasiFilesystemView as _},
    p2::bindings::sync::filesystem::types::{
        Descriptor, DescriptorFlags, DescriptorType, ErrorCode, Host as _, HostDescriptor as _, OpenFlags,
        PathFlags,
    },
};

use super::Store;
use crate::guest::GuestState;

/// The interface as wasmtime's implementation names it; a guest of another patch version finds it too.
const TYPES: &str = "wasi:filesystem/types@0.2.12";

type Opened = Result<Resource<Descriptor>, ErrorCode>;

/// Puts the look before opening over what is linked already.
pub(super) fn look_before_opening(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    type Params = (Resource<Descriptor>, PathFlags, String, OpenFlags, DescriptorFlags);
    linker.allow_shadowing(true);
    let linked = linker.instance(TYPES)?.func_wrap(
        "[method]descriptor.open-at",
        |mut store: Store<'_>, (directory, follow, path, how, to): Params| {
            Ok((open(&mut store.data_mut().filesystem(), directory, follow, path, how, to)?,))
        },
    );
    linker.allow_shadowing(false);
    linked
}

fn open(
    files: &mut WasiFilesystemCtxView<'_>,
    directory: Resource<Descriptor>,
    follow: PathFlags,
    path: String,
    how: OpenFlags,
    to: DescriptorFlags,
) -> wasmtime::Result<Opened> {
    use DescriptorType::{Directory, RegularFile, SymbolicLink};
    let found = files.stat_at(Resource::new_borrow(directory.rep()), follow, path.clone());
    // What is not there may be about to be made.
    if found.is_ok_and(|found| !matches!(found.type_, RegularFile | Directory | SymbolicLink)) {
        return Ok(Err(ErrorCode::Unsupported));
    }
    match files.open_at(directory, follow, path, how, to) {
        Ok(opened) => Ok(Ok(opened)),
        Err(error) => Ok(Err(files.convert_error_code(error)?)),
    }
}
