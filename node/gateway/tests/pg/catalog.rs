//! What tools of PostgreSQL find out about a node: psql's commands, and statements as DBeaver, JDBC and SQLAlchemy send
//! them.

use crate::client::Client;
use crate::node::Node;
use crate::psql::{psql_is_here, psql_with};

fn with_tables() -> Node {
    let node = Node::with_types();
    node.sql(
        "CREATE KEYSPACE ref; CREATE TABLE ref.limits (device TEXT PRIMARY KEY, high DOUBLE, low DECIMAL(10, 2)); \
         CREATE TABLE notes (\"Who\" TEXT, n BIGINT, PRIMARY KEY ((\"Who\"), n))",
    );
    node
}

/// What a command of psql writes, without alignment.
fn meta(node: &Node, command: &str) -> String {
    match psql_with(node, "user=anna", &["-A", "-c", command], "") {
        Ok(written) => written,
        Err(said) => panic!("{command}: {said}"),
    }
}

#[test]
fn psql_lists_what_there_is() {
    if !psql_is_here() {
        return;
    }
    let node = with_tables();
    let tables = meta(&node, "\\dt");
    for line in [
        "plant|types|table|",
        "ref|limits|table|",
        "public|notes|table|",
    ] {
        assert!(tables.contains(line), "{tables}");
    }
    assert!(!tables.contains("system"), "{tables}");
    assert!(meta(&node, "\\dt plant.*").contains("plant|types"));
    assert!(meta(&node, "\\dv system.*").contains("system|tables|view"));
    let schemas = meta(&node, "\\dn");
    assert!(
        schemas.contains("plant|") && schemas.contains("ref|"),
        "{schemas}"
    );
    assert!(meta(&node, "\\di").contains("types_pkey"));
    assert!(meta(&node, "\\l").contains("activestore|"));
    assert!(meta(&node, "\\du").contains("Superuser"));
    for command in [
        "\\df", "\\dT", "\\d", "\\dp", "\\dx", "\\db", "\\des", "\\dy", "\\dL", "\\dD", "\\ds",
        "\\dm",
    ] {
        meta(&node, command);
    }
}

#[test]
fn psql_describes_a_table() {
    if !psql_is_here() {
        return;
    }
    let node = with_tables();
    let described = meta(&node, "\\d plant.types");
    for line in [
        "Table \"plant.types\"",
        "k|text||not null|",
        "ts|timestamp without time zone||not null|",
        "b|boolean|||",
        "i|integer|||",
        "n|bigint|||",
        "r|real|||",
        "d|double precision|||",
        "m|numeric(12,3)|||",
        "x|bytea|||",
        "day|date|||",
        "u|uuid|||",
        "j|json|||",
        "\"types_pkey\" PRIMARY KEY, btree (k, ts)",
    ] {
        assert!(described.contains(line), "{line}: {described}");
    }
    let described = meta(&node, "\\d+ notes");
    assert!(described.contains("Who|text"), "{described}");
    assert!(meta(&node, "\\d types_pkey").contains("k|text"), "an index");
    assert!(meta(&node, "\\d system.tables").contains("keyspace|text"));
}

#[test]
fn tools_find_tables_columns_and_keys() {
    let node = with_tables();
    let mut client = node.connect();
    // DBeaver.
    let schemas = client.rows(
        "SELECT n.oid,n.*,d.description FROM pg_catalog.pg_namespace n \
         LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid=n.oid AND d.objsubid=0 AND d.classoid='pg_namespace'::regclass \
         ORDER BY nspname",
    );
    assert!(
        schemas.iter().any(|row| row.contains(&"plant".to_owned())),
        "{schemas:?}"
    );
    let tables = client.rows(
        "SELECT c.oid,c.*,d.description,pg_catalog.pg_get_expr(c.relpartbound, c.oid) as partition_expr \
         FROM pg_catalog.pg_class c LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid=c.oid AND d.objsubid=0 \
         AND d.classoid='pg_class'::regclass WHERE c.relnamespace='plant'::regnamespace::oid AND c.relkind not in ('i','I','c')",
    );
    assert_eq!(tables.len(), 1, "{tables:?}");
    assert_eq!(
        client.rows("SELECT current_database(), current_schema(), current_user"),
        [["activestore", "public", "activestore"]]
    );
    // JDBC's getTables and getColumns, as far as they matter.
    let tables = client.rows(
        "SELECT NULL AS TABLE_CAT, n.nspname AS TABLE_SCHEM, c.relname AS TABLE_NAME, \
         CASE n.nspname ~ '^pg_' OR n.nspname = 'information_schema' WHEN true THEN 'SYSTEM' WHEN false THEN \
         CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'i' THEN 'INDEX' WHEN 'v' THEN 'VIEW' ELSE NULL END ELSE NULL END AS TABLE_TYPE, \
         d.description AS REMARKS FROM pg_catalog.pg_namespace n, pg_catalog.pg_class c \
         LEFT JOIN pg_catalog.pg_description d ON (c.oid = d.objoid AND d.objsubid = 0 and d.classoid = 'pg_class'::regclass) \
         WHERE c.relnamespace = n.oid AND c.relname LIKE 'lim%' AND c.relkind = 'r' ORDER BY TABLE_TYPE,TABLE_SCHEM,TABLE_NAME",
    );
    assert_eq!(tables, [["NULL", "ref", "limits", "TABLE", "NULL"]]);
    let columns = client.rows(
        "SELECT a.attname, t.typname, a.attnotnull, format_type(a.atttypid, a.atttypmod) \
         FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
         WHERE a.attrelid = 'ref.limits'::regclass AND a.attnum > 0 ORDER BY a.attnum",
    );
    assert_eq!(
        columns,
        [
            ["device", "text", "t", "text"],
            ["high", "float8", "f", "double precision"],
            ["low", "numeric", "f", "numeric(10,2)"]
        ]
    );
    let keys = client.rows(
        "SELECT con.conname, pg_get_constraintdef(con.oid), con.conrelid::regclass, pg_get_indexdef(con.conindid) \
         FROM pg_constraint con JOIN pg_class c ON c.oid = con.conrelid WHERE c.relname = 'types'",
    );
    assert_eq!(
        keys,
        [[
            "types_pkey",
            "PRIMARY KEY (k, ts)",
            "plant.types",
            "CREATE UNIQUE INDEX types_pkey ON plant.types USING btree (k, ts)"
        ]]
    );
    // SQLAlchemy and Grafana.
    let places = client.rows(
        "SELECT c.relname, unnest(i.indkey) AS attnum, generate_subscripts(i.indkey, 1) AS ord FROM pg_index i \
         JOIN pg_class c ON c.oid = i.indrelid WHERE c.relname = 'types' ORDER BY ord",
    );
    assert_eq!(places, [["types", "1", "1"], ["types", "2", "2"]]);
    let names = client.rows(
        "SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg/_' || '%' ESCAPE '/' AND nspname LIKE 'pl%' ORDER BY 1",
    );
    assert_eq!(names, [["plant"]]);
    assert_eq!(
        client.rows("select pg_catalog.version()")[0][0]
            .split('.')
            .next(),
        Some("PostgreSQL 15")
    );
    assert_eq!(
        client.rows("SELECT quote_ident(table_schema) FROM information_schema.tables WHERE table_name = 'limits'"),
        [["ref"]]
    );
    assert_eq!(
        client.rows("SELECT t.typname FROM pg_type t WHERE t.oid = 2950 AND NOT EXISTS (SELECT 1 FROM pg_enum e WHERE e.enumtypid = t.oid)"),
        [["uuid"]]
    );
    assert_eq!(
        client.rows("SELECT setting FROM pg_settings WHERE name = 'server_version'"),
        [["15.0"]]
    );
}

/// As Grafana's query editor asks which keyspaces need no name.
const IN_SEARCH_PATH: &str = "quote_ident(table_schema) IN (SELECT CASE WHEN trim(s[i]) = '\"$user\"' THEN user ELSE trim(s[i]) END \
    FROM generate_series(array_lower(string_to_array(current_setting('search_path'),','),1), \
    array_upper(string_to_array(current_setting('search_path'),','),1)) as i, string_to_array(current_setting('search_path'),',') s)";

#[test]
fn grafana_lists_tables_and_their_columns() {
    let node = with_tables();
    let mut client = node.connect();
    let tables = client.rows(&format!(
        "SELECT CASE WHEN {IN_SEARCH_PATH} THEN quote_ident(table_name) \
         ELSE quote_ident(table_schema) || '.' || quote_ident(table_name) END AS \"table\" FROM information_schema.tables \
         WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog', '_timescaledb_cache', 'system') \
         ORDER BY CASE WHEN {IN_SEARCH_PATH} THEN 0 ELSE 1 END, 1"
    ));
    assert_eq!(tables, [["notes"], ["plant.types"], ["ref.limits"]]);
    let older = client.rows(&format!(
        "select quote_ident(table_name) as \"table\" from information_schema.tables \
         where quote_ident(table_schema) not in ('information_schema', 'pg_catalog') and table_type = 'BASE TABLE' and {IN_SEARCH_PATH}"
    ));
    assert_eq!(older, [["notes"]]);
    let mut columns = |table: &str| {
        client.rows(&format!(
            "SELECT quote_ident(column_name) AS \"column\", data_type AS \"type\" FROM information_schema.columns WHERE \
             CASE WHEN array_length(parse_ident('{table}'),1) = 2 THEN quote_ident(table_schema) = (parse_ident('{table}'))[1] \
             AND quote_ident(table_name) = (parse_ident('{table}'))[2] \
             ELSE quote_ident(table_name) = '{table}' AND {IN_SEARCH_PATH} END"
        ))
    };
    assert_eq!(columns("ref.limits").len(), 3);
    assert_eq!(columns("notes").len(), 2);
    assert_eq!(columns("limits").len(), 0);
    assert_eq!(
        client.rows("SELECT array_lower(indkey, 1), array_upper(indkey, 1) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relname = 'types'"),
        [["1", "2"]]
    );
}

#[test]
fn jdbc_finds_the_columns_of_a_primary_key() {
    let node = with_tables();
    let inner = "SELECT NULL AS TABLE_CAT, n.nspname AS TABLE_SCHEM, ct.relname AS TABLE_NAME, a.attname AS COLUMN_NAME, \
        (information_schema._pg_expandarray(i.indkey)).n AS KEY_SEQ, ci.relname AS PK_NAME, \
        information_schema._pg_expandarray(i.indkey) AS KEYS, a.attnum AS A_ATTNUM FROM pg_catalog.pg_class ct \
        JOIN pg_catalog.pg_attribute a ON (ct.oid = a.attrelid) JOIN pg_catalog.pg_namespace n ON (ct.relnamespace = n.oid) \
        JOIN pg_catalog.pg_index i ON ( a.attrelid = i.indrelid) JOIN pg_catalog.pg_class ci ON (ci.oid = i.indexrelid) \
        WHERE true AND n.nspname = 'plant' AND ct.relname = 'types' AND i.indisprimary ";
    let keys = node.connect().rows(&format!(
        "SELECT result.TABLE_CAT, result.TABLE_SCHEM, result.TABLE_NAME, result.COLUMN_NAME, result.KEY_SEQ, result.PK_NAME \
         FROM ({inner} ) result where result.A_ATTNUM = (result.KEYS).x ORDER BY result.table_name, result.pk_name, result.key_seq"
    ));
    assert_eq!(
        keys,
        [
            ["NULL", "plant", "types", "k", "1", "types_pkey"],
            ["NULL", "plant", "types", "ts", "2", "types_pkey"]
        ]
    );
}

#[test]
fn everybody_finds_what_is_theirs_to_see() {
    let node = with_tables();
    node.sql(
        "CREATE ROLE root WITH LOGIN SUPERUSER PASSWORD 'very secret'; CREATE ROLE reader WITH LOGIN; \
         GRANT SELECT ON ref.limits TO reader",
    );
    let token = node.token("reader");
    let mut client = Client::open(node.address);
    client.startup(&[("user", "reader")]);
    client.receive().unwrap();
    client.send('p', &crate::client::text(&token));
    client.until('Z');
    let seen = client.rows("SELECT relname FROM pg_class WHERE relkind = 'r'");
    assert_eq!(seen, [["limits"]]);
    assert_eq!(
        client.rows("SELECT 'plant.types'::regclass, 'ref.limits'::regclass IS NULL"),
        [["NULL", "f"]]
    );
    assert_eq!(client.rows("SELECT current_user"), [["reader"]]);
    assert_eq!(
        client.rows("SELECT count(*) FROM pg_attribute WHERE attname = 'ts'"),
        [["0"]]
    );
}
