//! gantry-host
