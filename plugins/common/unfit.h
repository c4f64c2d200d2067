/* SPDX-License-Identifier: Apache-2.0 */
/* What an encoder says of every value of a column whose type has no way into the target's. */
#ifndef UNFIT_H
#define UNFIT_H
#define UNFIT_CODE "42804"
#define UNFIT_WHY "the column cannot take values of this type"
#endif
