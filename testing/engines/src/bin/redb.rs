use redb as engine;

include!("../redb.rs");
