/* What writing and reading a backup share. Private to daemon/store; backup.h has the form. */
#ifndef DAEMON_STORE_BACKUP_FORM_H
#define DAEMON_STORE_BACKUP_FORM_H

#include "daemon/store/backup.h"

enum {
	BACKUP_FORMAT = 1,
	BACKUP_MAGIC_LEN = 8,
	BACKUP_HEAD_LEN = BACKUP_MAGIC_LEN + 4 + BACKUP_ID_LEN,
	BACKUP_PART_LEN = 256 * 1024,
	BACKUP_AD_LEN = BACKUP_HEAD_LEN + 8 + 1,
	BACKUP_MAX_VALUE = 1 << 30,
	BACKUP_MAX_HEAD = 256, /* of the store */
};
#define BACKUP_MAGIC "TCBACKP1"
#define BACKUP_LABEL "backup"

void backup_head(const uint8_t id[BACKUP_ID_LEN], uint8_t head[BACKUP_HEAD_LEN]);
/* What a part is bound to: a part that is moved, left out at the end or from another backup does not open. */
void backup_part_ad(const uint8_t head[BACKUP_HEAD_LEN], uint64_t part, bool last, uint8_t ad[BACKUP_AD_LEN]);

#endif
