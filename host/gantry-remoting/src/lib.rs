//! gantry-remoting
