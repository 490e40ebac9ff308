/* A driver of QEMU's device `edu` (docs/specs/edu.rst), which copies bytes to the device and back. With `forgets=1` it
 * leaves out `dma_sync_single_for_cpu` between the device's write and its own loads. */
#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/pci.h>

enum { FROM = 0x80, TO = 0x88, COUNT = 0x90, COMMAND = 0x98, START = 1, TO_MEMORY = 2, ON_DEVICE = 0x40000 };
enum { LEN = 256, ROUNDS = 3 };

static bool forgets;
module_param(forgets, bool, 0);

static void copy(void __iomem *device, u64 from, u64 to, u64 direction)
{
	writeq(from, device + FROM);
	writeq(to, device + TO);
	writeq(LEN, device + COUNT);
	writeq(START | direction, device + COMMAND);
	while (readq(device + COMMAND) & START)
		cpu_relax();
}

static noinline int wrong_bytes(const u8 *bytes, u8 expected)
{
	int wrong = 0;
	for (int i = 0; i < LEN; i++)
		wrong += bytes[i] != expected;
	return wrong;
}

static int probe(struct pci_dev *pci, const struct pci_device_id *id)
{
	struct device *dev = &pci->dev;
	void __iomem *device = pcim_enable_device(pci) ? NULL : pcim_iomap(pci, 0, 0);
	u8 *sent = (u8 *)devm_get_free_pages(dev, GFP_KERNEL, 0), *received = sent + LEN;
	dma_addr_t from, to;
	int wrong = 0;

	if (!device || !sent)
		return -ENODEV;
	pci_set_master(pci);
	from = dma_map_single(dev, sent, LEN, DMA_TO_DEVICE);
	to = dma_map_single(dev, received, LEN, DMA_FROM_DEVICE);
	if (dma_mapping_error(dev, from) || dma_mapping_error(dev, to))
		return -ENODEV;
	for (int round = 1; round <= ROUNDS; round++) {
		memset(sent, round, LEN);
		dma_sync_single_for_device(dev, from, LEN, DMA_TO_DEVICE);
		copy(device, from, ON_DEVICE, 0);
		dma_sync_single_for_device(dev, to, LEN, DMA_FROM_DEVICE);
		copy(device, ON_DEVICE, to, TO_MEMORY);
		if (!forgets)
			dma_sync_single_for_cpu(dev, to, LEN, DMA_FROM_DEVICE);
		wrong += wrong_bytes(received, round);
	}
	dma_unmap_single(dev, from, LEN, DMA_TO_DEVICE);
	dma_unmap_single(dev, to, LEN, DMA_FROM_DEVICE);
	/* The agent keeps everything less off the console. */
	dev_emerg(dev, "%d of %d bytes are wrong\n", wrong, ROUNDS * LEN);
	return 0;
}

static const struct pci_device_id ids[] = { { PCI_DEVICE(0x1234, 0x11e8) }, {} };
static struct pci_driver edu = { .name = "edu", .id_table = ids, .probe = probe };
module_pci_driver(edu);
MODULE_LICENSE("Dual MIT/GPL");
