/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the expression engine share. One thread owns an expression and all it refers
 * to.
 *
 * text -> lexer -> parse (tree of nodes, all calls by name) -> check (columns, types, coercions,
 * folding; a kernel for each node) -> eval (MR_CHUNK rows at a time, a vector for each node).
 *
 * A vector has a value and a validity byte for each row of the chunk. A kernel computes the rows
 * whose byte in run->live is 1 (arguments not null, row wanted by the branches above) and may
 * write anything into the others. A row that cannot be computed is reported once by mr_run_bad;
 * its result is null. */
#ifndef MR_EXPR_INTERNAL_H
#define MR_EXPR_INTERNAL_H
#include "base/base.h"
#include "data/array.h"
#include "data/types.h"
#include "expr/expr.h"

#define MR_CHUNK 1024                /* rows that one pass over the tree computes */
#define MR_MAX_DEPTH 200             /* nesting of an expression */
#define MR_MAX_TEXT (64 * 1024)      /* bytes of an expression */
#define MR_MAX_ARGS 255              /* arguments of one call */
#define MR_MAX_VALUE (16 << 20)      /* bytes of one text value */
#define MR_MAX_SCRATCH (256LL << 20) /* bytes of text made for one chunk */

typedef __int128 mr_i128;
typedef unsigned __int128 mr_u128;

#define MR_K_INTERVAL 64 /* beside enum mr_kind: exists inside expressions only */

/* How a type is held in a vector. */
enum mr_phys {
  MR_P_ANY,  /* validity alone; the value stays in the column (lists, structs, maps) */
  MR_P_BOOL, /* uint8_t 0, 1 */
  MR_P_I64,  /* signed integers, unsigned up to 32 bits, dates (days), times and timestamps (us) */
  MR_P_U64,
  MR_P_F64,
  MR_P_DEC,  /* mr_i128, scaled */
  MR_P_TEXT, /* struct mr_span; text, JSON, binary, UUID */
  MR_P_IVAL, /* struct mr_ival */
};

struct mr_span { /* lent bytes, not NUL-terminated */
  const char *p;
  int64_t n;
};
struct mr_ival { /* an interval as PostgreSQL keeps it */
  int32_t months, days;
  int64_t us;
};
union mr_value {
  uint8_t b;
  int64_t i;
  uint64_t u;
  double f;
  mr_i128 d;
  struct mr_span s;
  struct mr_ival v;
};

struct mr_xtype {
  int kind; /* enum mr_kind or MR_K_INTERVAL */
  int precision, scale;
  bool json;
  const char *zone;                 /* timestamps: "" without a zone; lent from the compile arena */
  const struct ArrowSchema *schema; /* lists, structs, maps: the column's; lent until free */
};

/* Memory that is freed all at once. max 0: no limit. */
struct mr_arena {
  struct mr_block *first, *now;
  int64_t used, max;
};
/* size bytes, 16-byte aligned, not zeroed; NULL: out of memory or over the limit. */
void *mr_arena_alloc(struct mr_arena *a, int64_t size);
/* A zeroed piece. */
void *mr_arena_zero(struct mr_arena *a, int64_t size);
char *mr_arena_strndup(struct mr_arena *a, const char *s, int64_t n);
/* Forgets everything but keeps the first block for reuse. */
void mr_arena_reset(struct mr_arena *a);
void mr_arena_done(struct mr_arena *a);

struct mr_vec {
  void *data;     /* values: storage, or lent (a column's buffer, another vector) */
  uint8_t *valid; /* MR_CHUNK bytes 0, 1: valid_store, or lent */
  void *storage;  /* MR_CHUNK * 16 bytes, 64-byte aligned */
  uint8_t *valid_store;
  struct mr_vec *next; /* in the pool */
};
#define MR_VB(v) ((uint8_t *)(v)->data)
#define MR_VI(v) ((int64_t *)(v)->data)
#define MR_VU(v) ((uint64_t *)(v)->data)
#define MR_VF(v) ((double *)(v)->data)
#define MR_VD(v) ((mr_i128 *)(v)->data)
#define MR_VS(v) ((struct mr_span *)(v)->data)
#define MR_VV(v) ((struct mr_ival *)(v)->data)

struct mr_run;
struct mr_node;
/* Computes out from the arguments, for the rows of run->live. */
typedef void mr_kernel_fn(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                          struct mr_vec *out);
/* Evaluates its own arguments (branches). NULL: out of memory. */
typedef struct mr_vec *mr_form_fn(struct mr_run *r, const struct mr_node *n);

enum mr_node_kind {
  MR_N_CONST,
  MR_N_COLUMN,
  MR_N_CALL, /* an operator, a function or a form: looked up by name */
  MR_N_LET,  /* arg[0] is computed once, arg[1] reads it through MR_N_REF nodes */
  MR_N_REF,
};
struct mr_node {
  enum mr_node_kind kind;
  int line, col;    /* of the operator or the first character */
  int depth;        /* nodes from here down to the deepest leaf */
  const char *name; /* call: lower case; column: as written */
  struct mr_node **arg;
  int n_arg;
  bool quoted;           /* column: "as written" */
  bool literal;          /* const: typed by its surroundings (a number, a text, NULL) */
  bool null;             /* const: NULL */
  bool null_ok;          /* kernel: sees null arguments itself */
  bool varies;           /* not to be folded (now, a column below) */
  union mr_value value;  /* const */
  const char *type_text; /* cast: as written */
  struct mr_node *let;   /* ref */
  int column;            /* column: index into mr_expr.column */
  struct mr_xtype type;  /* from here on set by check */
  mr_kernel_fn *run;
  mr_form_fn *form;
  const void *data;     /* what check prepared for the kernel */
  struct mr_vec **argv; /* n_arg, used while the node is evaluated */
  struct mr_vec *saved; /* let: while the body is evaluated */
};

/* A column, or a field within struct columns, that an expression reads. */
struct mr_input {
  int path[16], n_path; /* child indices from the rows down */
  const struct ArrowSchema *schema;
  const char *name; /* of the top-level column */
};

struct mr_expr {
  struct mr_arena arena; /* nodes, constants, kernels' data */
  struct ArrowSchema in; /* a copy of what it was compiled against */
  struct mr_node *root;
  struct mr_input *input;
  int n_input, input_cap;
  const char **columns; /* for mr_expr_columns */
  struct ArrowSchema type;
  struct mr_cleanup *cleanup;
  struct mr_run *run;
};
/* Something that outlives the arena's own memory (a compiled pattern), freed with the expression.
 */
struct mr_cleanup {
  struct mr_cleanup *next;
  void (*free)(void *p);
  void *p;
};

struct mr_run {
  const struct mr_expr *e;
  const struct ArrowArray *rows;
  struct mr_view *view;  /* one for each input */
  int64_t base, n;       /* first row of the chunk, rows in it */
  const uint8_t *active; /* rows that the branches above want */
  uint8_t live[MR_CHUNK], failed[MR_CHUNK], all[MR_CHUNK];
  int64_t now_us;
  mr_bad_row_fn *bad;
  void *out;
  struct mr_arena text; /* values made for this chunk */
  struct mr_vec *pool;
  bool folding;   /* compile time: a bad row only counts */
  bool no_memory; /* a kernel ran out of memory: the evaluation fails */
  int64_t n_bad;
};

/* ---- compile time: parse.c, check.c */

struct mr_check {
  struct mr_expr *e;
  struct mr_error *err;
};
/* Parses text into *ret, allocated in the arena. MR_BADCONF with "line:col: message". */
int mr_parse(struct mr_arena *a, const char *text, struct mr_node **ret, struct mr_error *err);
struct mr_node *mr_node_new(struct mr_arena *a, enum mr_node_kind kind, int line, int col);
/* MR_BADCONF with the node's place in front. */
int mr_check_fail(struct mr_check *c, const struct mr_node *n, const char *fmt, ...)
    MR_PRINTF(3, 4);
int mr_check_memory(struct mr_check *c);
void *mr_check_alloc(struct mr_check *c, int64_t size);
/* Resolves, types and folds n and all below. */
int mr_check_node(struct mr_check *c, struct mr_node *n);
/* As far as n can be checked while the columns are not known; n is of no use after it. */
int mr_check_unknown(struct mr_check *c, struct mr_node *n);
int mr_check_args(struct mr_check *c, struct mr_node *n);
/* Folds a node whose arguments are constant, sets up its scratch. Call when kernel and type are
 * set. */
int mr_check_finish(struct mr_check *c, struct mr_node *n);
/* Registers p to be freed with the expression. */
int mr_check_cleanup(struct mr_check *c, void (*free_fn)(void *), void *p);

enum mr_phys mr_phys_of(const struct mr_xtype *t);
struct mr_xtype mr_xtype_of_kind(int kind);
struct mr_xtype mr_xtype_decimal(int precision, int scale);
struct mr_xtype mr_xtype_timestamp(const char *zone);
bool mr_xtype_equal(const struct mr_xtype *a, const struct mr_xtype *b);
bool mr_xtype_is_int(const struct mr_xtype *t);
bool mr_xtype_is_float(const struct mr_xtype *t);
bool mr_xtype_is_number(const struct mr_xtype *t);
bool mr_xtype_is_text(const struct mr_xtype *t); /* text or JSON */
const char *mr_xtype_name(const struct mr_xtype *t, char *buf, size_t size);
/* The type that an Arrow schema names; the zone's text is copied into the arena. false: no memory.
 */
bool mr_xtype_of_schema(struct mr_arena *a, const struct ArrowSchema *s, struct mr_xtype *ret);

/* Puts a cast around n->arg[i] unless it has the type already; literals are converted on the spot.
 */
int mr_coerce_arg(struct mr_check *c, struct mr_node *n, int i, struct mr_xtype to);
/* Finds the one type that holds the arguments index[0 .. n_index) without loss (literals adapt)
 * and casts them to it. MR_BADCONF: there is none; what ("the branches of CASE") begins the
 * message. */
int mr_coerce_unify(struct mr_check *c, struct mr_node *n, const int *index, int n_index,
                    const char *what, struct mr_xtype *ret);
/* Lets an argument that is a literal take the type of its neighbour (text -> date, 1 -> uint64). */
int mr_coerce_literals(struct mr_check *c, struct mr_node *n, int i, int j);
/* decimal(p,s) that holds every value of a number type that is no float. */
struct mr_xtype mr_coerce_as_decimal(const struct mr_xtype *t);
/* Requires argument i to be text (or a literal NULL), of a kind, a number ... */
int mr_want_text(struct mr_check *c, struct mr_node *n, int i);
int mr_want_int(struct mr_check *c, struct mr_node *n, int i);
int mr_want_kind(struct mr_check *c, struct mr_node *n, int i, int kind);
/* Requires argument i to be a constant text and gives it NUL-terminated. */
int mr_want_const_text(struct mr_check *c, struct mr_node *n, int i, const char **ret);

/* ---- functions: functions.c */

typedef int mr_check_fn(struct mr_check *c, struct mr_node *n);
struct mr_function {
  const char *name; /* lower case */
  int min, max;     /* arguments; max -1: MR_MAX_ARGS */
  mr_check_fn *check;
  const char *usage; /* "LEFT(text, n)"; NULL: an operator */
};
const struct mr_function *mr_function_find(const char *name);
/* The known function nearest to a misspelt name, or NULL. */
const char *mr_function_suggest(const char *name);
/* Edit distance is small enough to suggest b for a. */
int mr_edit_distance(const char *a, const char *b);

/* A piece of one kind of functions: arith.c, compare.c, ... each end with name == NULL. */
extern const struct mr_function mr_arith_functions[], mr_logic_functions[], mr_compare_functions[],
    mr_cast_functions[], mr_text_functions[], mr_pattern_functions[], mr_time_functions[],
    mr_json_functions[], mr_header_functions[], mr_math_functions[], mr_part_functions[],
    mr_format_functions[];

/* ---- run time: eval.c */

/* A vector from the pool whose data and valid are its own storage. NULL: out of memory. */
struct mr_vec *mr_vec_get(struct mr_run *r);
void mr_vec_put(struct mr_run *r, struct mr_vec *v);
struct mr_vec *mr_eval_node(struct mr_run *r, const struct mr_node *n);
/* Reports row i (of the chunk) as one that cannot be computed and makes it null. code: SQLSTATE. */
void mr_run_bad(struct mr_run *r, const struct mr_node *n, struct mr_vec *out, int64_t i,
                const char *code, const char *msg);
/* Room for a text value of size bytes; reports the row and gives NULL when there is none. */
char *mr_run_text(struct mr_run *r, const struct mr_node *n, struct mr_vec *out, int64_t i,
                  int64_t size);
/* Copies rows whose mask byte is set. */
void mr_vec_merge(enum mr_phys p, int64_t n, const uint8_t *mask, const struct mr_vec *from,
                  struct mr_vec *to);
int mr_run_new(struct mr_run **ret);
void mr_run_free(struct mr_run *r);
/* Evaluates a node without columns on one row: the constant's value. false: it cannot be computed.
 */
bool mr_run_fold(struct mr_expr *e, struct mr_node *n);

/* Loads the chunk of a column into a vector (column.c); stores a vector's chunk (store.c). */
bool mr_column_load(struct mr_run *r, const struct mr_node *n, struct mr_vec *v);
bool mr_column_store(struct mr_run *r, const struct mr_vec *v, struct mr_column *to);

/* ---- headers.c */

/* Whether a call reads the column _headers. */
bool mr_header_reads(const struct mr_node *n);
/* Stores the chunk of a root that makes a map (set_header, remove_header). */
bool mr_header_store(struct mr_expr *e, struct mr_column *to);

/* ---- time.c: + and - with a date, time, timestamp or interval. */
bool mr_time_is(const struct mr_xtype *t);
int mr_time_check_arith(struct mr_check *c, struct mr_node *n);

/* Codes of rows that cannot be computed (SQLSTATE). */
#define MR_E_DIVISION "22012"
#define MR_E_RANGE "22003"
#define MR_E_TEXT "22P02"     /* a text is no value of the type */
#define MR_E_DATETIME "22007" /* a text is no date or time */
#define MR_E_FIELD "22008"    /* a date or time out of range */
#define MR_E_UTF8 "22021"
#define MR_E_ARGUMENT "22023"
#define MR_E_LOG "2201E"
#define MR_E_POWER "2201F"
#define MR_E_LENGTH "22011" /* a negative substring length */
#define MR_E_JSON "22032"
#define MR_E_LIMIT "54000"

#endif
