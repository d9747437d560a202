//! A connection to a broker, ready to be used: reached, with TLS if there is some, and logged in.

use crate::net::config::Config;
use crate::net::sasl;
use crate::net::trouble::Trouble;
use crate::net::wire::Connection;
use std::sync::Arc;
use std::time::Instant;

/// Connects to `host:port`, as the settings say, and logs in.
pub fn open(peer: &str, config: &Arc<Config>) -> Result<Connection, Trouble> {
    let mut open = Connection::reach(peer, config)?;
    if let Some((mechanism, login)) = &config.login {
        let holds = sasl::login(&mut open, *mechanism, login)?;
        // before its end, as a request under way then would be lost
        open.holds_until(holds.and_then(|holds| Instant::now().checked_add(holds * 4 / 5)));
    }
    Ok(open)
}
