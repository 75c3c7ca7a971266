//! A listener that tells all it is told, taking bytes: see [`tell`].

mod tell;

gantry_guest::export_listener!(tell::Tells);
