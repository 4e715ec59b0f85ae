//! The integration tests: one binary, one hazard a file.

#[cfg(feature = "cli")]
mod acts_decisions;
#[cfg(feature = "cli")]
mod acts_modes;
#[cfg(feature = "cli")]
mod acts_upgrade;
#[cfg(feature = "cli")]
mod backup_restore;
#[cfg(feature = "cli")]
mod cli_check;
#[cfg(feature = "cli")]
mod cli_config;
#[cfg(feature = "cli")]
mod cli_demo;
#[cfg(feature = "cli")]
mod cli_fdw;
#[cfg(feature = "cli")]
mod cli_ledger;
#[cfg(feature = "cli")]
mod cli_log;
#[cfg(feature = "cli")]
mod cli_operate;
#[cfg(feature = "cli")]
mod cli_query;
#[cfg(feature = "cli")]
mod cli_status;
mod cli_top;
#[cfg(feature = "cli")]
mod cli_watch;
mod client_batch;
mod client_careless;
mod client_commit;
mod client_idempotency;
mod client_lease;
mod client_types;
mod failover_contested;
mod failover_diverged;
mod failover_follow;
mod failover_foreign;
mod failover_hung;
mod failover_not;
mod failover_order;
mod failover_return;
mod failover_two_promoted;
mod fanout_cancel;
mod fanout_failure;
mod fanout_memory;
mod fanout_oracle;
mod fanout_refusal;
mod faults_asynchronous;
mod faults_end;
mod faults_exhausted;
mod faults_hang;
mod faults_impostor;
mod faults_shards;
mod faults_split;
mod fdw_failover;
mod fdw_guide;
mod fdw_names;
mod fdw_partitions;
mod fdw_refusals;
mod fdw_reports;
mod fdw_role;
mod fdw_secret;
#[cfg(feature = "cli")]
mod fdw_split;
mod fdw_views;
mod fuzz_smoke;
mod guard_rows;
mod haproxy;
mod hazard_black_hole;
mod hazard_broken_connection;
mod hazard_close;
mod hazard_commit_caller_gone;
mod hazard_commit_held;
mod hazard_commit_resolved;
mod hazard_commit_unanswered;
mod hazard_commit_unreplicated;
mod hazard_impatient;
mod hazard_password_rotation;
mod hazard_pool_bounds;
mod hazard_raw_copy;
mod hazard_secrets;
mod hazard_server_full;
mod hazard_session_pins;
mod hazard_session_state;
mod hazard_stale_map;
mod hazard_statement_cache;
mod hazard_supersession;
mod hazard_tokens;
mod hazard_values;
mod hazard_wrong_server;
mod install_gate;
mod install_ledger;
mod install_placement;
mod install_privileges;
mod install_refusals;
mod install_repeat;
mod load_fan_outs;
mod load_isolation;
mod local_crash;
#[cfg(feature = "cli")]
mod local_dev;
mod local_nodes;
mod local_patroni;
mod local_proxy;
#[cfg(feature = "cli")]
mod logical_conflicts;
mod logical_tables;
mod migrate;
mod migrate_load;
mod patroni_etcd;
mod patroni_operated;
#[cfg(feature = "cli")]
mod patroni_rendered;
mod patroni_source;
mod pgbackrest;
mod pgbouncer;
mod pgbouncer_operated;
mod pgpool;
mod pgpool_operated;
#[cfg(feature = "cli")]
mod primary_failover;
#[cfg(feature = "cli")]
mod primary_split_brain;
#[cfg(feature = "cli")]
mod primary_switchover;
#[cfg(feature = "cli")]
mod prometheus;
mod reads_hedged;
mod reads_lag_time;
mod reads_recovery_conflict;
mod reads_silent_node;
#[cfg(feature = "cli")]
mod replication_copy;
#[cfg(feature = "cli")]
mod replication_disk_full;
#[cfg(feature = "cli")]
mod replication_verify;
mod routing_twin;
mod soak;
mod spans;
#[cfg(feature = "sql")]
mod sql_change;
#[cfg(feature = "cli")]
mod sql_compare;
#[cfg(feature = "cli")]
mod sql_corpus;
#[cfg(feature = "cli")]
mod sql_generate;
#[cfg(feature = "sql")]
mod sql_hazards;
mod stale_map;
mod support;
mod tls;
mod tls_login;
mod topology_language;
mod topology_model;
mod topology_properties;
mod topology_scenarios;
mod walks;
