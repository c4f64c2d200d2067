/* SPDX-License-Identifier: Apache-2.0 */
/* The files that `millrace plugin new` writes: runtime/app/skeleton as texts, with `skeleton` for
 * the plugin's name and `KINDs` for its folder. */
#ifndef MR_SKELETON_H
#define MR_SKELETON_H

extern const char mr_skeleton_source_c[], mr_skeleton_transform_c[], mr_skeleton_sink_c[];
extern const char mr_skeleton_source_yaml[], mr_skeleton_transform_yaml[], mr_skeleton_sink_yaml[];
extern const char mr_skeleton_project_txt[], mr_skeleton_module_txt[];

#endif
