/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VDISKCK_FOLDER_H
#define VDISKCK_FOLDER_H

/* folder_of() - the folder that the file @path lies in; to be freed; NULL: no memory */
char *folder_of(const char *path);
/* folder_sync() - a new name is safe only once the folder that holds it is written, too. 0, -errno */
int folder_sync(const char *path);

#endif
