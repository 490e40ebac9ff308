//! stm32h7xx-hal 0.16: a buffer of embedded-dma that a peripheral fills.
//!
//! The HAL orders accesses, but leaves the data cache of the Cortex-M7 to the program.

use cachemaint::coherence::{self, Maintain, Padded};
use stm32h7xx_hal::dma::dma::{DmaConfig, Stream0};
use stm32h7xx_hal::dma::traits::{DoubleBufferedStream, Stream, TargetAddress};
use stm32h7xx_hal::dma::{PeripheralToMemory, Transfer};
use stm32h7xx_hal::serial::Rx;
use stm32h7xx_hal::stm32::{DMA1, USART3};

/// A buffer of whole lines, which have 32 bytes on a Cortex-M7. A reference to any `Padded<[u8; N], 32>` coerces to it.
pub type Buffer = &'static mut Padded<[u8], 32>;

/// Fills the buffer from a peripheral. `enable` starts the peripheral's side.
///
/// `cache` is `cachemaint_platforms::CortexM` on this chip.
///
/// # Panics
/// If the granule of the cache is larger than 32 bytes.
pub fn receive<S, P>(
    cache: &dyn Maintain,
    stream: S,
    peripheral: P,
    buffer: Buffer,
    enable: impl FnOnce(&mut P),
) -> (S, P, Buffer)
where
    S: DoubleBufferedStream + Stream<Config = DmaConfig>,
    P: TargetAddress<PeripheralToMemory, MemSize = u8>,
{
    coherence::release_to_writer(cache, buffer);
    let config = DmaConfig::default().memory_increment(true);
    let mut transfer: Transfer<S, P, PeripheralToMemory, Buffer, _> =
        Transfer::init(stream, peripheral, buffer, None, config);
    transfer.start(enable);
    while !transfer.get_transfer_complete_flag() {}
    let (stream, peripheral, buffer, _) = transfer.free();
    coherence::acquire(cache, buffer);
    (stream, peripheral, buffer)
}

/// Receives bytes from a serial port.
pub fn receive_serial(
    cache: &dyn Maintain,
    stream: Stream0<DMA1>,
    port: Rx<USART3>,
    buffer: Buffer,
) -> (Stream0<DMA1>, Rx<USART3>, Buffer) {
    receive(cache, stream, port, buffer, Rx::<USART3>::enable_dma_rx)
}
