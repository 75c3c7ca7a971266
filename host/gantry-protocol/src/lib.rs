//! gantry-protocol
