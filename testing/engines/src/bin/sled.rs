use sled as engine;

include!("../sled.rs");
