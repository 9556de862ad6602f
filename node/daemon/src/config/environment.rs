//! Settings from `ACTIVESTORE_*` variables: they override the file, and flags override them.

use activestore_types::{Error, Result};

use super::{AtBudgetSetting, Config, LinkSetting, RoleSetting, TransportSetting, WalSyncSetting};

type Set = fn(&mut Config, &str) -> Result<()>;

/// Every variable that carries a setting of the file, and how it is applied.
const VARIABLES: &[(&str, Set)] = &[
    ("ACTIVESTORE_ROLE", |config, text| {
        config.node.role = Some(match text {
            "edge" => RoleSetting::Edge,
            "gateway" => RoleSetting::Gateway,
            "cloud" => RoleSetting::Cloud,
            _ => {
                return Err(Error::invalid(format!(
                    "'{text}' is not edge, gateway or cloud"
                )));
            }
        });
        Ok(())
    }),
    ("ACTIVESTORE_NAME", |config, text| {
        config.node.name = Some(text.to_owned());
        Ok(())
    }),
    ("ACTIVESTORE_DATA_DIR", |config, text| {
        config.node.data_dir = Some(text.into());
        Ok(())
    }),
    ("ACTIVESTORE_HTTP", |config, text| {
        config.listen.http = Some(parsed(text, "an address such as 127.0.0.1:7480")?);
        Ok(())
    }),
    ("ACTIVESTORE_PG", |config, text| {
        config.listen.pg = Some(parsed(text, "an address such as 127.0.0.1:7432")?);
        Ok(())
    }),
    ("ACTIVESTORE_FLIGHT", |config, text| {
        config.listen.flight = Some(parsed(text, "an address such as 127.0.0.1:32010")?);
        Ok(())
    }),
    ("ACTIVESTORE_QUIC", |config, text| {
        config.listen.quic = Some(parsed(text, "an address such as 0.0.0.0:7490")?);
        Ok(())
    }),
    ("ACTIVESTORE_SYNC_TCP", |config, text| {
        config.listen.sync_tcp = Some(parsed(text, "true or false")?);
        Ok(())
    }),
    ("ACTIVESTORE_MQTT", |config, text| {
        config.listen.mqtt = Some(parsed(text, "an address such as 0.0.0.0:1883")?);
        Ok(())
    }),
    ("ACTIVESTORE_PEERS", |config, text| {
        config.sync.peers = text
            .split(',')
            .map(|peer| peer.trim().to_owned())
            .filter(|peer| !peer.is_empty())
            .collect();
        Ok(())
    }),
    ("ACTIVESTORE_LIMITS_MEMORY", |config, text| {
        config.limits.memory = Some(text.parse()?);
        Ok(())
    }),
    ("ACTIVESTORE_LIMITS_DISK", |config, text| {
        config.limits.disk = Some(text.parse()?);
        Ok(())
    }),
    ("ACTIVESTORE_LIMITS_QUERY_MEMORY", |config, text| {
        config.limits.query_memory = Some(text.parse()?);
        Ok(())
    }),
    ("ACTIVESTORE_LIMITS_QUERY_MEMORY_EACH", |config, text| {
        config.limits.query_memory_each = Some(text.parse()?);
        Ok(())
    }),
    ("ACTIVESTORE_LIMITS_QUERY_TIME", |config, text| {
        config.limits.query_time = Some(text.parse()?);
        Ok(())
    }),
    ("ACTIVESTORE_TELEMETRY_SLOW_QUERY", |config, text| {
        config.telemetry.slow_query = Some(text.parse()?);
        Ok(())
    }),
    ("ACTIVESTORE_TELEMETRY_OTLP", |config, text| {
        config.telemetry.otlp = Some(text.to_owned());
        Ok(())
    }),
    ("ACTIVESTORE_LIMITS_REQUEST_BODY", |config, text| {
        config.limits.request_body = Some(text.parse()?);
        Ok(())
    }),
    ("ACTIVESTORE_LIMITS_REQUESTS", |config, text| {
        config.limits.requests = Some(parsed(text, "a number")?);
        Ok(())
    }),
    ("ACTIVESTORE_LIMITS_SUBSCRIBERS", |config, text| {
        config.limits.subscribers = Some(parsed(text, "a number")?);
        Ok(())
    }),
    ("ACTIVESTORE_LIMITS_SUBSCRIBER_BUFFER", |config, text| {
        config.limits.subscriber_buffer = Some(text.parse()?);
        Ok(())
    }),
    ("ACTIVESTORE_LIMITS_WORKERS", |config, text| {
        config.limits.workers = Some(parsed(text, "a number")?);
        Ok(())
    }),
    ("ACTIVESTORE_STORAGE_WAL_SYNC", |config, text| {
        config.storage.wal_sync = Some(match text {
            "batch" => WalSyncSetting::Batch,
            "always" => WalSyncSetting::Always,
            "interval" => WalSyncSetting::Interval,
            _ => {
                return Err(Error::invalid(format!(
                    "'{text}' is not batch, always or interval"
                )));
            }
        });
        Ok(())
    }),
    ("ACTIVESTORE_STORAGE_WAL_SYNC_INTERVAL", |config, text| {
        config.storage.wal_sync_interval = Some(text.parse()?);
        Ok(())
    }),
    ("ACTIVESTORE_STORAGE_ENCRYPTION_KEY_FILE", |config, text| {
        config.storage.encryption_key_file = Some(text.into());
        Ok(())
    }),
    ("ACTIVESTORE_STORAGE_COPY_DIR", |config, text| {
        config.storage.copy_dir = Some(text.into());
        Ok(())
    }),
    ("ACTIVESTORE_STORAGE_COMPACTION_RATE", |config, text| {
        config.storage.compaction_rate = Some(text.parse()?);
        Ok(())
    }),
    ("ACTIVESTORE_STORAGE_PAUSE_ABOVE_CELSIUS", |config, text| {
        config.storage.pause_above_celsius = Some(parsed(text, "a number")?);
        Ok(())
    }),
    ("ACTIVESTORE_STORAGE_PAUSE_ON_BATTERY", |config, text| {
        config.storage.pause_on_battery = Some(parsed(text, "true or false")?);
        Ok(())
    }),
    (
        "ACTIVESTORE_STORAGE_PAUSE_ABOVE_IO_PRESSURE",
        |config, text| {
            config.storage.pause_above_io_pressure = Some(parsed(text, "a number")?);
            Ok(())
        },
    ),
    ("ACTIVESTORE_SYNC_SEAL_AFTER", |config, text| {
        config.sync.seal_after = Some(text.parse()?);
        Ok(())
    }),
    ("ACTIVESTORE_SYNC_BANDWIDTH", |config, text| {
        config.sync.bandwidth = Some(text.parse()?);
        Ok(())
    }),
    ("ACTIVESTORE_SYNC_MAX_OFFLINE", |config, text| {
        config.sync.max_offline = Some(text.parse()?);
        Ok(())
    }),
    ("ACTIVESTORE_SYNC_DOWN_BYTES", |config, text| {
        config.sync.down_bytes = Some(text.parse()?);
        Ok(())
    }),
    ("ACTIVESTORE_SYNC_OUTBOX_BYTES", |config, text| {
        config.sync.outbox_bytes = Some(text.parse()?);
        Ok(())
    }),
    ("ACTIVESTORE_SYNC_VERIFY_EVERY", |config, text| {
        config.sync.verify_every = Some(text.parse()?);
        Ok(())
    }),
    ("ACTIVESTORE_SYNC_KEEP_ALIVE", |config, text| {
        config.sync.keep_alive = Some(text.parse()?);
        Ok(())
    }),
    ("ACTIVESTORE_SYNC_IDLE_TIMEOUT", |config, text| {
        config.sync.idle_timeout = Some(text.parse()?);
        Ok(())
    }),
    ("ACTIVESTORE_SYNC_PACKET_MAX", |config, text| {
        config.sync.packet_max = Some(parsed(text, "a number of bytes")?);
        Ok(())
    }),
    ("ACTIVESTORE_SYNC_MIGRATION", |config, text| {
        config.sync.migration = Some(parsed(text, "true or false")?);
        Ok(())
    }),
    ("ACTIVESTORE_SYNC_EARLY_DATA", |config, text| {
        config.sync.early_data = Some(parsed(text, "true or false")?);
        Ok(())
    }),
    ("ACTIVESTORE_SYNC_EDGES", |config, text| {
        config.sync.edges = Some(parsed(text, "a number")?);
        Ok(())
    }),
    ("ACTIVESTORE_SYNC_EDGES_PER_SECOND", |config, text| {
        config.sync.edges_per_second = Some(parsed(text, "a number")?);
        Ok(())
    }),
    ("ACTIVESTORE_SYNC_HANDSHAKES", |config, text| {
        config.sync.handshakes = Some(parsed(text, "a number")?);
        Ok(())
    }),
    ("ACTIVESTORE_SYNC_MONTHLY_BYTES", |config, text| {
        config.sync.monthly_bytes = Some(text.parse()?);
        Ok(())
    }),
    ("ACTIVESTORE_SYNC_MONTH_STARTS", |config, text| {
        config.sync.month_starts = Some(parsed(text, "a day of the month")?);
        Ok(())
    }),
    ("ACTIVESTORE_SYNC_ALARM_SHARE", |config, text| {
        config.sync.alarm_share = Some(parsed(text, "a number of percent")?);
        Ok(())
    }),
    ("ACTIVESTORE_SYNC_AT_BUDGET", |config, text| {
        config.sync.at_budget = Some(match text {
            "alarms" => AtBudgetSetting::Alarms,
            "hold" => AtBudgetSetting::Hold,
            _ => return Err(Error::invalid(format!("'{text}' is not alarms or hold"))),
        });
        Ok(())
    }),
    // Days of a window are parted by commas.
    ("ACTIVESTORE_SYNC_SCHEDULE", |config, text| {
        let windows = text.split(';').map(str::trim).filter(|one| !one.is_empty());
        config.sync.schedule = windows.map(str::to_owned).collect();
        Ok(())
    }),
    ("ACTIVESTORE_SYNC_SCHEDULE_OFFSET", |config, text| {
        config.sync.schedule_offset = Some(text.to_owned());
        Ok(())
    }),
    ("ACTIVESTORE_SYNC_LINK", |config, text| {
        config.sync.link = Some(match text {
            "frugal" => LinkSetting::Frugal,
            "quick" => LinkSetting::Quick,
            _ => return Err(Error::invalid(format!("'{text}' is not frugal or quick"))),
        });
        Ok(())
    }),
    ("ACTIVESTORE_SYNC_TRANSPORT", |config, text| {
        config.sync.transport = Some(match text {
            "auto" => TransportSetting::Auto,
            "quic" => TransportSetting::Quic,
            "tcp" => TransportSetting::Tcp,
            _ => return Err(Error::invalid(format!("'{text}' is not auto, quic or tcp"))),
        });
        Ok(())
    }),
    ("ACTIVESTORE_AUTH_REQUIRED", |config, text| {
        config.auth.required = Some(parsed(text, "true or false")?);
        Ok(())
    }),
    ("ACTIVESTORE_AUTH_ADMIN_PASSWORD_FILE", |config, text| {
        config.auth.admin_password_file = Some(text.into());
        Ok(())
    }),
    ("ACTIVESTORE_AUTH_OPEN_METRICS", |config, text| {
        config.auth.open_metrics = Some(parsed(text, "true or false")?);
        Ok(())
    }),
    ("ACTIVESTORE_PLUGINS_MEMORY", |config, text| {
        config.plugins.memory = Some(text.parse()?);
        Ok(())
    }),
    ("ACTIVESTORE_PLUGINS_CACHE_DIR", |config, text| {
        config.plugins.cache_dir = Some(text.into());
        Ok(())
    }),
    ("ACTIVESTORE_PLUGINS_TRUSTED_KEYS", |config, text| {
        config.plugins.trusted_keys = text.split(',').map(|key| key.trim().to_owned()).collect();
        Ok(())
    }),
    ("ACTIVESTORE_PLUGINS_ALLOW_UNSIGNED", |config, text| {
        config.plugins.allow_unsigned = Some(parsed(text, "true or false")?);
        Ok(())
    }),
    ("ACTIVESTORE_PLUGINS_COMPILE", |config, text| {
        config.plugins.compile = Some(parsed(text, "true or false")?);
        Ok(())
    }),
    ("ACTIVESTORE_PLUGINS_DEADLINE", |config, text| {
        config.plugins.deadline = Some(text.parse()?);
        Ok(())
    }),
];

/// Overrides settings from the variables that `lookup` finds.
///
/// # Errors
/// `Invalid`, naming the variable.
pub fn apply(config: &mut Config, lookup: impl Fn(&str) -> Option<String>) -> Result<()> {
    for (name, set) in VARIABLES {
        if let Some(text) = lookup(name).filter(|text| !text.is_empty()) {
            set(config, &text).map_err(|error| error.context(name))?;
        }
    }
    Ok(())
}

fn parsed<T: std::str::FromStr>(text: &str, expected: &str) -> Result<T> {
    text.parse()
        .map_err(|_| Error::invalid(format!("'{text}' is not {expected}")))
}
