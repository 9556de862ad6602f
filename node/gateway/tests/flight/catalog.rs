//! What there is, as drivers ask for it.

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Schema};
use arrow_flight::IpcMessage;
use arrow_flight::sql::{
    CommandGetDbSchemas, CommandGetExportedKeys, CommandGetPrimaryKeys, CommandGetTables,
    CommandGetXdbcTypeInfo, SqlInfo,
};
use tonic::Code;

use crate::client::{Client, Node, said, taken, texts};

async fn tables(client: &mut Client, like: Option<&str>, types: &[&str]) -> Vec<Vec<String>> {
    let asked = CommandGetTables {
        catalog: None,
        db_schema_filter_pattern: like.map(str::to_owned),
        table_name_filter_pattern: None,
        table_types: types.iter().map(|name| (*name).to_owned()).collect(),
        include_schema: false,
    };
    let info = client.get_tables(asked).await.unwrap();
    let told = info.clone().try_decode_schema().unwrap();
    let given = taken(client, &info).await.unwrap();
    assert_eq!(given[0].schema().as_ref(), &told);
    texts(&given)
}

#[test]
fn catalogs_schemas_tables_and_keys_are_listed() {
    let node = Node::with_readings();
    node.wait(async {
        let mut client = node.client().await;
        let info = client.get_catalogs().await.unwrap();
        assert_eq!(
            texts(&taken(&mut client, &info).await.unwrap()),
            [["activestore"]]
        );
        let info = client.get_db_schemas(CommandGetDbSchemas {
            catalog: None,
            db_schema_filter_pattern: Some("pl%".to_owned()),
        });
        let info = info.await.unwrap();
        assert_eq!(
            texts(&taken(&mut client, &info).await.unwrap()),
            [["activestore", "plant"]]
        );
        let info = client.get_table_types().await.unwrap();
        assert_eq!(
            texts(&taken(&mut client, &info).await.unwrap()),
            [["SYSTEM TABLE"], ["TABLE"]]
        );
        let readings = ["activestore", "plant", "readings", "TABLE"];
        assert_eq!(tables(&mut client, None, &["TABLE"]).await, [readings]);
        assert_eq!(tables(&mut client, Some("plant"), &[]).await, [readings]);
        let system = tables(&mut client, Some("system"), &["SYSTEM TABLE"]).await;
        assert!(system.iter().any(|row| row[2] == "tables"), "{system:?}");
        let info = client.get_primary_keys(CommandGetPrimaryKeys {
            catalog: None,
            db_schema: Some("plant".to_owned()),
            table: "readings".to_owned(),
        });
        let info = info.await.unwrap();
        let keys = texts(&taken(&mut client, &info).await.unwrap());
        let columns: Vec<_> = keys
            .iter()
            .map(|row| (row[3].as_str(), row[4].as_str()))
            .collect();
        assert_eq!(columns, [("device", "1"), ("ts", "2")]);
        let info = client.get_exported_keys(CommandGetExportedKeys {
            catalog: None,
            db_schema: None,
            table: "readings".to_owned(),
        });
        let info = info.await.unwrap();
        assert!(texts(&taken(&mut client, &info).await.unwrap()).is_empty());
    });
}

#[test]
fn a_tables_columns_come_with_it() {
    let node = Node::with_readings();
    node.wait(async {
        let mut client = node.client().await;
        for (keyspace, table, columns, first) in [
            ("plant", "readings", 4, "TEXT"),
            ("system", "tables", 0, ""),
        ] {
            let asked = CommandGetTables {
                catalog: Some("activestore".to_owned()),
                db_schema_filter_pattern: Some(keyspace.to_owned()),
                table_name_filter_pattern: Some(table.to_owned()),
                table_types: Vec::new(),
                include_schema: true,
            };
            let info = client.get_tables(asked).await.unwrap();
            let given = taken(&mut client, &info).await.unwrap();
            assert_eq!(given[0].num_rows(), 1);
            let schema = given[0].column(4).as_binary::<i32>().value(0).to_vec();
            let schema = Schema::try_from(IpcMessage(schema.into())).unwrap();
            assert!(schema.fields().len() >= columns.max(1), "{schema}");
            if columns > 0 {
                assert_eq!(schema.field(0).data_type(), &DataType::Utf8);
                assert_eq!(
                    schema.field(0).metadata()["ARROW:FLIGHT:SQL:TYPE_NAME"],
                    first
                );
            }
        }
    });
}

#[test]
fn what_the_server_can_do_and_its_types_are_told() {
    let node = Node::start();
    node.wait(async {
        let mut client = node.client().await;
        let info = client.get_sql_info(vec![
            SqlInfo::FlightSqlServerName,
            SqlInfo::FlightSqlServerReadOnly,
        ]);
        let info = info.await.unwrap();
        let told = taken(&mut client, &info).await.unwrap();
        assert_eq!(
            texts(&told),
            [
                ["0", "{string_value=activestore}"],
                ["3", "{bool_value=false}"]
            ]
        );
        let info = client.get_sql_info(Vec::new()).await.unwrap();
        assert!(texts(&taken(&mut client, &info).await.unwrap()).len() > 15);
        let asked = CommandGetXdbcTypeInfo { data_type: None };
        let info = client.get_xdbc_type_info(asked).await.unwrap();
        let types = texts(&taken(&mut client, &info).await.unwrap());
        assert_eq!(types.len(), 12);
        assert!(types.iter().any(|row| row[0] == "TIMESTAMP"), "{types:?}");
        let asked = CommandGetXdbcTypeInfo {
            data_type: Some(-5),
        };
        let info = client.get_xdbc_type_info(asked).await.unwrap();
        let types = texts(&taken(&mut client, &info).await.unwrap());
        assert_eq!(types[0][0], "BIGINT");
        let unknown = client
            .do_action(arrow_flight::Action::new("Sing", ""))
            .await
            .map(drop);
        assert_eq!(said(unknown).0, Code::Unimplemented);
    });
}
