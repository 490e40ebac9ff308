use turso as engine;

include!("../turso.rs");
