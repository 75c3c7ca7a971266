//! gantry-guest
