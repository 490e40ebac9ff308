use turso08 as engine;

include!("../turso.rs");
