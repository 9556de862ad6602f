//! The columns of the catalog's relations, as `name:value` with what they are where a row does not say, and the names
//! of relations without rows.

/// Relations that have no rows here: what they describe there is none of.
pub(super) const EMPTY: &str = "\
    pg_aggregate pg_amop pg_amproc pg_db_role_setting pg_largeobject_metadata pg_ts_parser pg_ts_template \
    pg_attrdef pg_auth_members pg_cast pg_collation pg_conversion pg_default_acl pg_depend \
    pg_description pg_enum pg_event_trigger pg_extension pg_foreign_data_wrapper pg_foreign_server \
    pg_foreign_table pg_inherits pg_init_privs pg_language pg_largeobject pg_locks pg_opclass \
    pg_operator pg_opfamily pg_partitioned_table pg_policy pg_publication pg_publication_namespace \
    pg_publication_rel pg_publication_tables pg_range pg_rewrite pg_rules pg_seclabel pg_sequence \
    pg_sequences pg_shdepend pg_shdescription pg_stat_activity pg_statistic_ext pg_subscription pg_trigger \
    pg_ts_config pg_ts_dict pg_user_mapping pg_views";

/// Columns of relations without rows, as far as they are joined to.
pub(super) const EMPTY_COLUMNS: &str = "\
    oid:0 tableoid:0 adrelid:0 adnum:0 adbin:null collname:null collnamespace:0 objoid:0 classoid:0 \
    objsubid:0 description:null classid:0 objid:0 refclassid:0 refobjid:0 refobjsubid:0 deptype:null \
    extname:null extnamespace:0 extversion:null inhrelid:0 inhparent:0 inhseqno:0 partrelid:0 partstrat:null \
    enumtypid:0 enumlabel:null enumsortorder:0.0 rngtypid:0 rngsubtype:0 lanname:null roleid:0 member:0 \
    ev_class:0 rulename:null tgrelid:0 tgname:null tgisinternal:false ftrelid:0 ftserver:0 srvname:null \
    seqrelid:0 schemaname:null viewname:null matviewname:null definition:null pid:0 datname:null \
    usename:null state:null query:null relation:0 sequencename:null conname:null";

pub(super) const NAMESPACE: &str = "\
    oid:0 nspname:'' nspowner:10 nspacl:[]";

pub(super) const CLASS: &str = "\
    oid:0 relname:'' relnamespace:0 reltype:0 reloftype:0 relowner:10 relam:2 relfilenode:0 reltablespace:0 \
    relpages:0 reltuples:-1.0 relallvisible:0 reltoastrelid:0 relhasindex:false relisshared:false \
    relpersistence:'p' relkind:'r' relnatts:0 relchecks:0 relhasrules:false relhastriggers:false \
    relhassubclass:false relrowsecurity:false relforcerowsecurity:false relispopulated:true relreplident:'d' \
    relispartition:false relrewrite:0 relfrozenxid:0 relminmxid:0 relacl:[] reloptions:[] \
    relpartbound:null tableoid:1259 row_estimate:0";

pub(super) const ATTRIBUTE: &str = "\
    attrelid:0 attname:'' atttypid:0 attstattarget:-1 attlen:-1 attnum:0 attndims:0 attcacheoff:-1 \
    atttypmod:-1 attbyval:false attalign:'i' attstorage:'p' attcompression:'' attnotnull:false \
    atthasdef:false atthasmissing:false attidentity:'' attgenerated:'' attisdropped:false attislocal:true \
    attinhcount:0 attcollation:0 attacl:[] attoptions:[] attfdwoptions:[] attmissingval:null";

pub(super) const TYPE: &str = "\
    oid:0 typname:'' typnamespace:11 typowner:10 typlen:-1 typbyval:false typtype:'b' typcategory:'U' \
    typispreferred:false typisdefined:true typdelim:',' typrelid:0 typsubscript:'-' typelem:0 typarray:0 \
    typinput:'' typoutput:'' typreceive:'' typsend:'' typmodin:'-' typmodout:'-' typanalyze:'-' typalign:'i' \
    typstorage:'p' typnotnull:false typbasetype:0 typtypmod:-1 typndims:0 typcollation:0 typdefaultbin:null \
    typdefault:null typacl:[]";

pub(super) const INDEX: &str = "\
    indexrelid:0 indrelid:0 indnatts:0 indnkeyatts:0 indisunique:true indnullsnotdistinct:false \
    indisprimary:true indisexclusion:false indimmediate:true indisclustered:true indisvalid:true \
    indcheckxmin:false indisready:true indislive:true indisreplident:false indkey:[] indcollation:[] \
    indclass:[] indoption:[] indexprs:null indpred:null";

pub(super) const CONSTRAINT: &str = "\
    oid:0 conname:'' connamespace:0 contype:'p' condeferrable:false condeferred:false convalidated:true \
    conrelid:0 contypid:0 conindid:0 conparentid:0 confrelid:0 confupdtype:'_' confdeltype:'_' \
    confmatchtype:'_' conislocal:true coninhcount:0 connoinherit:true conkey:[] confkey:[] conbin:null";

pub(super) const DATABASES: &str = "\
    oid:5 datname:'activestore' datdba:10 encoding:6 datlocprovider:'c' datistemplate:false \
    datallowconn:true datconnlimit:-1 datfrozenxid:0 datminmxid:0 dattablespace:1663 datcollate:'C' \
    datctype:'C.UTF-8' daticulocale:null datcollversion:null datacl:[] datlastsysoid:0";

pub(super) const ROLES: &str = "\
    oid:10 rolname:'' rolsuper:false rolinherit:true rolcreaterole:false rolcreatedb:false rolcanlogin:false \
    rolreplication:false rolconnlimit:-1 rolpassword:'********' rolvaliduntil:null rolbypassrls:false \
    rolconfig:[] usename:'' usesysid:10 usesuper:false usecreatedb:false passwd:'********'";

pub(super) const PROCEDURES: &str = "\
    oid:0 proname:'' pronamespace:2200 proowner:10 prolang:0 procost:1.0 prorows:0.0 provariadic:0 \
    prosupport:'-' prokind:'f' prosecdef:false proleakproof:false proisstrict:false proretset:false \
    provolatile:'v' proparallel:'u' pronargs:0 pronargdefaults:0 prorettype:0 proargtypes:[] \
    proallargtypes:[] proargmodes:null proargnames:null prosrc:'' proacl:[]";

pub(super) const ACCESS_METHODS: &str = "\
    oid:0 amname:'' amhandler:'-' amtype:'t'";

pub(super) const TABLESPACES: &str = "\
    oid:1663 spcname:'pg_default' spcowner:10 spcacl:[] spcoptions:[]";

pub(super) const SETTINGS: &str = "\
    name:'' setting:'' unit:null category:'activestore' short_desc:'' extra_desc:null context:'internal' \
    vartype:'string' source:'default' min_val:null max_val:null enumvals:null boot_val:null reset_val:null \
    pending_restart:false";

pub(super) const LISTED: &str = "\
    schemaname:'' tablename:'' tableowner:'activestore' tablespace:null hasindexes:true hasrules:false \
    hastriggers:false rowsecurity:false indexname:'' indexdef:'' relname:'' n_live_tup:0 matviewname:'' matviewowner:'activestore' ispopulated:true definition:null";
