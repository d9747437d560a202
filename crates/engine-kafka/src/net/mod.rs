//! Speaking to one broker: settings, TLS, log-in, requests and answers, and what goes wrong.

pub mod calls;
pub mod config;
pub mod connect;
pub mod jaas;
pub mod pem;
pub mod properties;
pub mod rights;
pub mod sasl;
pub mod scram;
pub mod secret;
pub mod settings;
pub mod tls;
pub mod trouble;
pub mod wire;
