/* A subcommand of throughcare. `main` is a table of these: name, function, one line of help. */
#ifndef TOOLS_COMMAND_H
#define TOOLS_COMMAND_H

/* argv[0] is the command's own name; the result is the exit status (proto/rc.h). Every command answers --help with
 * usage, options and an example, on standard output, and exits 0. */
typedef int (*command_fn)(int argc, char **argv);

int cmd_keys(int argc, char **argv);
int cmd_study(int argc, char **argv);
int cmd_encode(int argc, char **argv);
int cmd_push(int argc, char **argv);
int cmd_query(int argc, char **argv);
int cmd_audit(int argc, char **argv);
int cmd_admin(int argc, char **argv);
int cmd_synth(int argc, char **argv);
int cmd_lab(int argc, char **argv);

#endif
