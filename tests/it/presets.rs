//! Presets: what a file that names one resolves to, and on the wire, for each server, what its preset is for.

mod file;
mod mcp;
mod openai;
mod opencode;
mod pocketbase;
