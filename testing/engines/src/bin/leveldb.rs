include!("../level.rs");

#[link(name = "leveldb")]
unsafe extern "C" {}

c_interface!("leveldb_");
