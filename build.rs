//! Rebuilds when a step or template is added or removed: the folders are embedded in the binary, and
//! the embedding macro alone does not notice a new file.

fn main() {
    println!("cargo::rerun-if-changed=steps");
    println!("cargo::rerun-if-changed=templates");
    println!("cargo::rerun-if-changed=build.rs");
}
