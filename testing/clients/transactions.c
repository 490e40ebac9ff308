/*
 * Transactions of libpmemobj, each on several objects of a pool in the working directory.
 *
 *     transactions create          makes the pool
 *     transactions update COUNT    commits COUNT transactions; prints the number of each one that is acknowledged
 *     transactions check           exit code 0 if the pool is that of one transaction, and not of an older one than the
 *                                  last acknowledged one
 *
 * Transaction N moves N units between two accounts, writes N to each word of the statement, and adds entry N to a list
 * that keeps the newest entries alone. So the whole pool follows from N.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpmemobj.h>

#define POOL "transactions.pool"
#define LAYOUT "transactions"
#define POOL_LEN (16u << 20)

/* Prints the number of acknowledged work on a line of its own. */
static void acknowledge(uint64_t number)
{
	printf("%" PRIu64 "\n", number);
	fflush(stdout);
}

/* Returns the last number that the program printed before the power was cut. */
static uint64_t last_printed(void)
{
	uint64_t number = 0;
	const char *path = getenv("PRINTED");
	FILE *printed = path ? fopen(path, "r") : NULL;
	while (printed && fscanf(printed, "%" SCNu64, &number) == 1)
		;
	return number;
}

enum { ACCOUNTS = 7, WORDS = 128, KEPT = 5, BEGINNING = 1000 };

struct account { uint64_t balance; };
struct statement { uint64_t words[WORDS]; };
struct entry { PMEMoid older; uint64_t words[WORDS]; };
struct root { uint64_t number; PMEMoid accounts[ACCOUNTS], statement, newest; };

static PMEMoid added(size_t len)
{
	return pmemobj_tx_zalloc(len, 0);
}

/* Returns an object that the transaction may change. */
static void *changed(PMEMoid object, size_t len)
{
	pmemobj_tx_add_range(object, 0, len);
	return pmemobj_direct(object);
}

static size_t giver(uint64_t number) { return number % ACCOUNTS; }
static size_t taker(uint64_t number) { return (number * 3 + 1 + number / ACCOUNTS) % ACCOUNTS; }

static void fill(uint64_t *words, uint64_t number)
{
	for (int word = 0; word < WORDS; word++)
		words[word] = number;
}

static void remove_oldest(PMEMoid newest)
{
	PMEMoid last = newest;
	for (int kept = 1; kept < KEPT; kept++)
		last = ((struct entry *)pmemobj_direct(last))->older;
	struct entry *entry = changed(last, sizeof(PMEMoid));
	PMEMoid oldest = entry->older;
	entry->older = OID_NULL;
	pmemobj_tx_free(oldest);
}

static void change(PMEMoid object, uint64_t number)
{
	struct root *root = changed(object, sizeof *root);
	struct account *from = changed(root->accounts[giver(number)], sizeof *from);
	from->balance -= number;
	struct account *to = changed(root->accounts[taker(number)], sizeof *to);
	to->balance += number;
	fill(changed(root->statement, sizeof(struct statement)), number);
	PMEMoid added_entry = added(sizeof(struct entry));
	struct entry *entry = pmemobj_direct(added_entry);
	entry->older = root->newest;
	fill(entry->words, number);
	root->newest = added_entry;
	if (number > KEPT)
		remove_oldest(added_entry);
	root->number = number;
}

static int transact(PMEMobjpool *pool, const PMEMoid *object, uint64_t number)
{
	volatile int failed = 0;
	TX_BEGIN(pool) {
		change(*object, number);
	} TX_ONABORT {
		failed = 1;
	} TX_END
	return failed ? fprintf(stderr, "transaction %" PRIu64 ": %s\n", number, pmemobj_errormsg()), -1 : 0;
}

static int create(void)
{
	PMEMobjpool *pool = pmemobj_create(POOL, LAYOUT, POOL_LEN, 0600);
	if (!pool)
		return fprintf(stderr, "cannot create the pool: %s\n", pmemobj_errormsg()), 2;
	PMEMoid object = pmemobj_root(pool, sizeof(struct root));
	volatile int failed = 0;
	TX_BEGIN(pool) {
		struct root *root = changed(object, sizeof *root);
		for (int account = 0; account < ACCOUNTS; account++) {
			root->accounts[account] = added(sizeof(struct account));
			((struct account *)pmemobj_direct(root->accounts[account]))->balance = BEGINNING;
		}
		root->statement = added(sizeof(struct statement));
	} TX_ONABORT {
		failed = 1;
	} TX_END
	pmemobj_close(pool);
	return failed;
}

static int check_accounts(const struct root *root)
{
	uint64_t balances[ACCOUNTS];
	for (int account = 0; account < ACCOUNTS; account++)
		balances[account] = BEGINNING;
	for (uint64_t number = 1; number <= root->number; number++) {
		balances[giver(number)] -= number;
		balances[taker(number)] += number;
	}
	for (int account = 0; account < ACCOUNTS; account++) {
		const struct account *found = pmemobj_direct(root->accounts[account]);
		if (found->balance != balances[account])
			return printf("after transaction %" PRIu64 ", account %d has %" PRIu64 " and not %" PRIu64 "\n",
				root->number, account, found->balance, balances[account]), 1;
	}
	return 0;
}

static int check_words(const char *name, const uint64_t *words, uint64_t number)
{
	for (int word = 0; word < WORDS; word++)
		if (words[word] != number)
			return printf("word %d of %s %" PRIu64 " is of %" PRIu64 "\n", word, name, number, words[word]), 1;
	return 0;
}

static int check_list(PMEMobjpool *pool, const struct root *root)
{
	uint64_t number = root->number, kept = 0;
	PMEMoid object = root->newest;
	for (; !OID_IS_NULL(object) && kept <= KEPT; kept++, number--) {
		const struct entry *entry = pmemobj_direct(object);
		if (check_words("entry", entry->words, number))
			return 1;
		object = entry->older;
	}
	uint64_t expected = root->number < KEPT ? root->number : KEPT, allocated = 0;
	POBJ_FOREACH(pool, object)
		allocated++;
	if (kept != expected || allocated != ACCOUNTS + 1 + expected)
		return printf("after transaction %" PRIu64 ", the list has %" PRIu64 " entries, and the pool %" PRIu64
			" objects\n", root->number, kept, allocated), 1;
	return 0;
}

static int check(PMEMobjpool *pool, const struct root *root, uint64_t acknowledged)
{
	if (root->number < acknowledged)
		return printf("transaction %" PRIu64 " was acknowledged, the last one is %" PRIu64 "\n", acknowledged,
			root->number), 1;
	const struct statement *statement = pmemobj_direct(root->statement);
	return check_accounts(root) || check_words("statement", statement->words, root->number)
		|| check_list(pool, root);
}

static int update(PMEMobjpool *pool, PMEMoid object, uint64_t count)
{
	struct root *root = pmemobj_direct(object);
	for (uint64_t end = root->number + count; root->number < end;) {
		uint64_t number = root->number + 1;
		if (transact(pool, &object, number))
			return 1;
		acknowledge(number);
	}
	return 0;
}

int main(int arguments, char **argument)
{
	const char *mode = arguments > 1 ? argument[1] : "";
	uint64_t count = arguments > 2 ? strtoull(argument[2], NULL, 10) : 0;
	if (!strcmp(mode, "create"))
		return create();
	PMEMobjpool *pool = pmemobj_open(POOL, LAYOUT);
	if (!pool)
		return fprintf(stderr, "cannot open the pool: %s\n", pmemobj_errormsg()), 2;
	PMEMoid object = pmemobj_root(pool, sizeof(struct root));
	int failed = !strcmp(mode, "check")
		? check(pool, pmemobj_direct(object), last_printed())
		: update(pool, object, count);
	pmemobj_close(pool);
	return failed;
}
