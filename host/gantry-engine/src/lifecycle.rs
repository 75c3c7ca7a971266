//! What a component of any role may do around the life of each of its instances: `init` and `drop`.

use std::time::Duration;

use wasmtime::{
    Store,
    component::{Component, ComponentExportIndex, Instance, TypedFunc},
};

use crate::{
    guest::GuestState,
    instance::{Missing, exported},
    wit::{InitReturn, LIFECYCLE_INTERFACE},
};

/// What `drop` may take.
pub(crate) const DROP_DEADLINE: Duration = Duration::from_secs(1);

/// Where a component keeps the functions of the lifecycle interface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifecycle {
    init: ComponentExportIndex,
    drop: ComponentExportIndex,
}

/// The functions of the lifecycle interface in one instance.
pub(crate) struct LifecycleFunctions {
    pub(crate) init: TypedFunc<(), InitReturn>,
    pub(crate) drop: TypedFunc<(), ()>,
}

impl Lifecycle {
    /// Finds the functions in a component, or says which is missing.
    pub(crate) fn find(component: &Component) -> Result<Self, Missing> {
        let function = |name| exported(component, LIFECYCLE_INTERFACE, name);
        Ok(Self { init: function("init")?, drop: function("drop")? })
    }

    /// Readies them in an instance; fails where they have other types than the interface's.
    pub(crate) fn functions(
        &self,
        store: &mut Store<GuestState>,
        instance: &Instance,
    ) -> wasmtime::Result<LifecycleFunctions> {
        Ok(LifecycleFunctions {
            init: instance.get_typed_func(&mut *store, self.init)?,
            drop: instance.get_typed_func(store, self.drop)?,
        })
    }
}
