//! gantry-dev-broker
