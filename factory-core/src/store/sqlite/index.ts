export { installStaged, saveBackup, stageBackup, type BackupReport } from './backups.js'
export { BACKUP_SECRET_LABEL, type BackupKey } from './envelope.js'
export { openSqliteStore, type SnapshotStore } from './store.js'
